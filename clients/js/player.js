/* Keeps one station sounding here, whatever the network does. In: an opening, controls; out: state changes, events,
   the sound, problems, by callback. Remembers the station, its session, its live socket, and which transport works.

   States: idle, starting, playing, reconnecting. Only stop(), leave(), the end of a station that we joined and an error
   that time cannot heal lead back to idle. WebRTC is tried first; where it cannot connect, the sound comes over a
   WebSocket, and the choice is kept while the tab lives. */

import { Live } from "./live.js";
import { PcmSession } from "./pcm.js";
import { Problem, stationPath } from "./server.js";
import { WhepSession } from "./whep.js";

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5000;
const GONE = 404;
const NOT_ABOUT_THE_OFFER = [0, GONE, 429, 502, 503, 504];

export class Player {
  station = null;
  state = "idle";
  #session = null;
  #live = null;
  #run = null;
  #isOverSocket = !WhepSession.isPossible || sessionStorage.getItem("transport") === "websocket";

  /**
   * `on`: { state(name), station(station, how), stream(stream), node(node), stats(stats), event(event), open(),
   * problem(problem), gone(id) }; `how` is "opened", "joined" or "replaced", where our own station is no more.
   */
  constructor(server, output, on) {
    this.server = server;
    this.output = output;
    this.on = on;
    this.isOurs = false;
    this.isShared = false;
    this.buffer_ms = 20;
  }

  get pc() {
    return this.#session?.pc ?? null;
  }

  get transport() {
    return this.#session?.transport ?? "";
  }

  /** When `frame` is heard, where the session knows that exactly; else null. */
  timeOf(frame) {
    return this.#session?.timeOf?.(frame) ?? null;
  }

  /** Play the station `join.id` (`join.isOurs`: opened by this tab before), or the one that `open()` resolves to. */
  play(open, join = null) {
    if (this.#run) return;
    this.#run = { wanted: true };
    this.isShared = join?.isShared ?? false;
    this.#enter("starting");
    this.#keepPlaying(this.#run, open, join);
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
    if (this.#run) this.#run.wanted = false;
    this.#run = null;
    this.#hangUp();
    this.#forgetStation();
    this.isShared = false;
    this.#enter("idle");
  }

  /** Send one control over the live socket; false where it is not connected. */
  send(control) {
    return this.#live?.send(control) ?? false;
  }

  setBuffer(buffer_ms) {
    this.buffer_ms = buffer_ms;
    this.#session?.setBuffer(buffer_ms);
  }

  async #keepPlaying(run, open, join) {
    let failures = 0;
    while (run.wanted) {
      let isWorthNow = false;
      try {
        const session = this.#openSession(run);
        await this.#findStation(run, open, join);
        if (!run.wanted) return;
        const isConnected = await this.#connect(session);
        if (!run.wanted) return;
        if (isConnected) {
          failures = 0;
          sessionStorage.setItem("transport", this.#isOverSocket ? "websocket" : "webrtc");
          this.#enter("playing");
          await session.lost;
        } else {
          isWorthNow = !this.#isOverSocket;
          this.#isOverSocket = !this.#isOverSocket || !WhepSession.isPossible;
        }
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (!run.wanted) return;
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
      if (!run.wanted) return;
      this.#hangUp();
      if (isWorthNow) continue;
      this.#enter("reconnecting");
      await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures++));
    }
  }

  /** True when there is sound. An offer that the server cannot serve is WebRTC that does not connect. */
  async #connect(session) {
    try {
      return await session.connect(this.station.id);
    } catch (problem) {
      const isAboutOffer = problem instanceof Problem && !NOT_ABOUT_THE_OFFER.includes(problem.status);
      if (this.#isOverSocket || !isAboutOffer) throw problem;
      return false;
    }
  }

  /** Have a station: the one playing, the one to join, or a new one. */
  async #findStation(run, open, join) {
    if (this.station) return;
    this.isOurs = join?.isOurs ?? true;
    const station = join ? await this.server.fetchStation(join.id) : await open();
    if (!run.wanted) {
      if (!join) this.server.dismiss(stationPath(station.id));
      return;
    }
    const how = join ? "joined" : run.hasPlayed ? "replaced" : "opened";
    this.station = station;
    run.hasPlayed = true;
    this.#live = new Live(this.server, stationPath(station.id), {
      onOpen: this.on.open,
      onEvent: this.on.event,
      onEnd: () => this.state === "playing" && this.#hangUp(false),
    });
    this.on.station(station, how);
  }

  #openSession(run) {
    const { buffer_ms, on } = this;
    const onStats = on.stats;
    if (this.#isOverSocket) {
      this.#session = new PcmSession(this.server, buffer_ms, this.output.input, {
        onNode: (node) => run.wanted && on.node(node),
        onStats,
      });
    } else {
      this.#session = new WhepSession(this.server, buffer_ms, { onStream: (stream) => run.wanted && on.stream(stream), onStats });
    }
    return this.#session;
  }

  #hangUp(saysGoodbye = true) {
    this.#session?.close(saysGoodbye);
    this.#session = null;
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
