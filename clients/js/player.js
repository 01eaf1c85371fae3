/* Keeps one station at hand, and sounding where that is wanted, whatever the network does. In: an opening, controls;
   out: state changes, events, the sound, problems, by callback. Remembers the station, its session, its live socket, and
   which transport works.

   States: idle, starting, connected (without sound), playing, reconnecting. Only stop(), leave(), the end of a station
   that we joined and an error that time cannot heal lead back to idle. WebRTC is tried first; where it cannot connect, the
   sound comes over a WebSocket, and the choice is kept while the tab lives. */

import { Live } from "./live.js";
import { PcmSession } from "./pcm.js";
import { Problem, stationPath } from "./server.js";
import { WhepSession } from "./whep.js";

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 3000;
const GONE = 404;
const NOT_ABOUT_THE_OFFER = [0, GONE, 429, 502, 503, 504];

/** What the user wants of the player from one connect() or play() to the end. */
class Run {
  isWanted = true;
  wantsSound = false;
  hasPlayed = false;
  wake = () => {};

  /** Until something else is wanted. */
  change() {
    return new Promise((resolve) => (this.wake = resolve));
  }
}

export class Player {
  station = null;
  state = "idle";
  #session = null;
  #live = null;
  #run = null;
  #isOverSocket;

  /**
   * `transport`: "auto", "webrtc" or "websocket". `on`: { state(name), station(station, how), session(session),
   * stream(stream), node(node), samples(position, channels), stats(stats), event(event), open(), problem(problem),
   * gone(id) }; `how` is "opened", "joined" or "replaced", where our own station is no more. `profile`: of WebRTC.
   */
  constructor(server, output, on, transport = "auto", profile = null) {
    this.server = server;
    this.output = output;
    this.on = on;
    this.isOurs = false;
    this.isShared = false;
    this.buffer_ms = 20;
    this.transports = transport;
    this.profile = profile;
    const isKnown = transport === "auto" && recall() === "websocket";
    this.#isOverSocket = transport === "websocket" || isKnown || !WhepSession.isPossible;
  }

  get pc() {
    return this.#session?.pc ?? null;
  }

  get transport() {
    return this.#session?.transport ?? "";
  }

  /** When `frame` sounds, in seconds of the output's context, where the session knows that exactly; else null. */
  timeOf(frame) {
    return this.#session?.timeOf(frame) ?? null;
  }

  /** Have the station `join.id` (`join.isOurs`: opened by this tab before), or the one that `open()` resolves to. */
  connect(open, join = null) {
    if (!this.#run) this.#begin(open, join, false);
  }

  /** The same, and its sound. */
  play(open, join = null) {
    if (!this.#run) return this.#begin(open, join, true);
    if (this.#run.wantsSound) return;
    this.#run.wantsSound = true;
    this.#run.wake();
  }

  #begin(open, join, wantsSound) {
    this.#run = new Run();
    this.#run.wantsSound = wantsSound;
    this.isShared = join?.isShared ?? false;
    this.#enter("starting");
    this.#keepGoing(this.#run, open, join);
  }

  /** A station that we opened and whose link was not passed on has no other ear: it ends with us. */
  stop() {
    if (this.station && this.isOurs && !this.isShared) {
      this.server.dismiss(stationPath(this.station.id));
      this.#hangUp(false);
    }
    this.leave();
  }

  /** Stop listening; the station goes on. */
  leave() {
    if (this.#run) this.#run.isWanted = false;
    this.#run?.wake();
    this.#run = null;
    this.#hangUp();
    this.#forgetStation();
    this.isShared = false;
    this.#enter("idle");
  }

  get isOpen() {
    return this.#live?.isOpen ?? false;
  }

  /** Send one control over the live socket; false where it is not connected. */
  send(control) {
    return this.#live?.send(control) ?? false;
  }

  setBuffer(buffer_ms) {
    this.buffer_ms = buffer_ms;
    this.#session?.setBuffer(buffer_ms);
  }

  async #keepGoing(run, open, join) {
    let failures = 0;
    while (run.isWanted) {
      let isWorthNow = false;
      try {
        const session = run.wantsSound ? this.#openSession(run) : null;
        await this.#findStation(run, open, join);
        if (!run.isWanted) return;
        if (!session) {
          this.#live.open();
          failures = 0;
          this.#enter("connected");
          if (!run.wantsSound) await run.change();
          continue;
        }
        const isConnected = await this.#connect(session);
        if (!run.isWanted) return;
        if (isConnected) {
          failures = 0;
          remember(this.#isOverSocket ? "websocket" : "webrtc");
          this.#enter("playing");
          await session.lost;
        } else {
          isWorthNow = !this.#isOverSocket && this.transports !== "webrtc";
          if (this.transports === "auto") this.#isOverSocket = !this.#isOverSocket || !WhepSession.isPossible;
        }
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (!run.isWanted) return;
        const { id } = this.station ?? join ?? {};
        const isGone = problem.status === GONE && id !== undefined;
        if (isGone && !this.isOurs) {
          this.leave();
          return this.on.gone(id);
        }
        if (isGone) {
          this.#forgetStation();
          join = null;
        } else {
          this.on.problem(problem);
        }
        if (!isGone && !problem.isPassing) return this.stop();
        if (problem.retryAfter_s) await sleep(problem.retryAfter_s * 1000);
      }
      if (!run.isWanted) return;
      this.#hangUp();
      if (isWorthNow) continue;
      this.#enter("reconnecting");
      await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures++));
    }
  }

  /** True when there is sound. An offer that the server cannot serve is WebRTC that does not connect. */
  async #connect(session) {
    const live = this.#live;
    if (this.#isOverSocket) live.open();
    try {
      return await session.connect(this.station.id);
    } catch (problem) {
      const isAboutOffer = problem instanceof Problem && !NOT_ABOUT_THE_OFFER.includes(problem.status);
      if (this.#isOverSocket || !isAboutOffer) throw problem;
      return false;
    } finally {
      live.open();
    }
  }

  /** Have a station: the one playing, the one to join, or a new one. */
  async #findStation(run, open, join) {
    if (this.station) return;
    this.isOurs = join?.isOurs ?? true;
    const station = join ? await this.server.fetchStation(join.id) : await open();
    if (!run.isWanted) {
      if (!join) this.server.dismiss(stationPath(station.id));
      return;
    }
    const how = join ? "joined" : run.hasPlayed ? "replaced" : "opened";
    this.station = station;
    run.hasPlayed = true;
    this.#live = new Live(this.server, stationPath(station.id), {
      onOpen: this.on.open,
      onEvent: (event) => {
        if (event.type === "clock" && event.session === this.#session?.id) this.#session.meetClock(event);
        this.on.event(event);
      },
      onEnd: () => this.#meetEnd(run, station.id),
    });
    this.on.station(station, how);
  }

  /** The live channel has found that there is no such station: the session finds the same, if there is one. */
  #meetEnd(run, id) {
    if (this.state === "playing") return this.#hangUp(false);
    if (this.state !== "connected") return;
    this.#forgetStation();
    if (this.isOurs) return run.wake();
    this.leave();
    this.on.gone(id);
  }

  #openSession(run) {
    const { server, buffer_ms, profile, output, on } = this;
    const onStats = on.stats;
    if (this.#isOverSocket) {
      const onNode = (node) => run.isWanted && on.node(node);
      this.#session = new PcmSession(server, buffer_ms, output.live, { onNode, onStats, onSamples: on.samples });
    } else {
      const onStream = (stream) => run.isWanted && on.stream(stream);
      this.#session = new WhepSession(server, { buffer_ms, profile }, output, {
        onStream,
        onStats,
        onId: (id) => this.#live?.open(id),
      });
    }
    on.session(this.#session);
    return this.#session;
  }

  #hangUp(saysGoodbye = true) {
    this.#session?.close(saysGoodbye);
    this.#session = null;
    this.on.session(null);
  }

  #forgetStation() {
    this.#live?.close();
    this.#live = null;
    this.station = null;
  }

  #enter(state) {
    if (state === this.state) return;
    this.state = state;
    this.on.state(state);
  }
}

const sleep = (duration_ms) => new Promise((resolve) => setTimeout(resolve, duration_ms));

/** Which transport has worked in this tab; a page that may store nothing tries anew. */
function recall() {
  try {
    return sessionStorage.getItem("transport");
  } catch {
    return null;
  }
}

function remember(transport) {
  try {
    sessionStorage.setItem("transport", transport);
  } catch {
    // asked again next time
  }
}
