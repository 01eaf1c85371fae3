/* Keeps one station sounding here, whatever the network does. In: an opening, controls; out: state changes, events,
   the stream, problems, by callback. Remembers the station, its WHEP session and its live socket.

   States: idle, starting, playing, reconnecting. Only stop() and an error that time cannot heal lead back to idle. */

import { Problem, createStation, dismiss, fetchStation } from "./api.js";
import { Live } from "./live.js";
import { WhepSession } from "./whep.js";

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5000;

export class Player {
  station = null;
  state = "idle";
  #session = null;
  #live = null;
  #isOurs = false;
  #run = null;

  /**
   * `on`: { state(name), station(station, how), stream(stream), stats(stats), event(event), open(), problem(problem) };
   * `how` is "opened", "joined", or "replaced" where the station to join is gone.
   */
  constructor(on) {
    this.on = on;
    this.isShared = false;
    this.buffer_ms = 20;
  }

  get pc() {
    return this.#session?.pc ?? null;
  }

  /** Play the station `joinId`, or open one from `opening()` (also where that station is gone). */
  play(opening, joinId = null) {
    if (this.#run) return;
    this.#run = { wanted: true };
    this.#enter("starting");
    this.#keepPlaying(this.#run, opening, joinId);
  }

  stop() {
    if (this.#run) this.#run.wanted = false;
    this.#run = null;
    this.#hangUp();
    this.#leaveStation();
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

  async #keepPlaying(run, opening, joinId) {
    let failures = 0;
    while (run.wanted) {
      const session = this.#openSession(run);
      try {
        await this.#findStation(run, opening, joinId);
        if (!run.wanted) return;
        const isConnected = await session.connect(this.station.links?.whep ?? `/whep/${this.station.id}`);
        if (!run.wanted) return;
        if (isConnected) {
          failures = 0;
          this.#enter("playing");
        }
        await session.lost;
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (!run.wanted) return;
        const isGone = problem.status === 404 && this.station;
        if (isGone) {
          this.#forgetStation();
          joinId = null;
        } else {
          this.on.problem(problem);
        }
        if (!isGone && !problem.isPassing) return this.stop();
        if (problem.retryAfter_s) await sleep(problem.retryAfter_s * 1000);
      }
      if (!run.wanted) return;
      this.#hangUp();
      this.#enter("reconnecting");
      await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures++));
    }
  }

  /** Have a station: the one playing, the one to join, or a new one. */
  async #findStation(run, opening, joinId) {
    if (this.station) return;
    const joined =
      joinId &&
      (await fetchStation(joinId).catch((problem) => {
        if (problem.status !== 404) throw problem;
        return null;
      }));
    const station = joined ?? (await createStation(opening()));
    if (!run.wanted) {
      if (!joined) dismiss(`/v1/stations/${station.id}`);
      return;
    }
    this.station = station;
    this.#isOurs = !joined;
    this.#live = new Live(station.links?.live ?? `/v1/stations/${station.id}/live`, {
      onOpen: this.on.open,
      onEvent: this.on.event,
    });
    this.on.station(station, joined ? "joined" : joinId ? "replaced" : "opened");
  }

  #openSession(run) {
    this.#session = new WhepSession(this.buffer_ms, {
      onTrack: (stream) => run.wanted && this.on.stream(stream),
      onStats: this.on.stats,
    });
    return this.#session;
  }

  #hangUp() {
    this.#session?.close();
    this.#session = null;
  }

  #forgetStation() {
    this.#live?.close();
    this.#live = null;
    this.station = null;
  }

  /** A station that we opened and whose link was not passed on has no other ear: it ends with us. */
  #leaveStation() {
    if (this.station && this.#isOurs && !this.isShared) dismiss(`/v1/stations/${this.station.id}`);
    this.#forgetStation();
    this.isShared = false;
  }

  #enter(state) {
    if (state === this.state) return;
    this.state = state;
    this.on.state(state);
  }
}

const sleep = (duration_ms) => new Promise((resolve) => setTimeout(resolve, duration_ms));
