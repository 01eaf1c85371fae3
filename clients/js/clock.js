/* Which frame is audible when. In: the server's play head as reported, and the delays after it; out: times on
   performance.now()'s clock. Remembers the last half minute of reports and the beats that are still to come.

   A report of frame f that arrives at time a says: frame 0 left the server no later than a - f/48. The least of these
   over half a minute is the report that the network delayed least; buffer and output delay come on top. */

const FRAMES_PER_MS = 48;
const NUM_REPORTS = 30;

export class FrameClock {
  #origins_ms = [];
  #beats = [];

  constructor() {
    /** Milliseconds between the network's edge and the ear: measured jitter buffer plus audio output. */
    this.playout_ms = 0;
    /** Where the page schedules the sound itself: the exact time of a frame, as `timeOf`; otherwise null. */
    this.exact = null;
  }

  reset() {
    this.#origins_ms = [];
    this.#beats = [];
  }

  /** The server was sending `frame` when this report left it. */
  observe(frame, arrived_ms = performance.now()) {
    this.#origins_ms.push(arrived_ms - frame / FRAMES_PER_MS);
    if (this.#origins_ms.length > NUM_REPORTS) this.#origins_ms.shift();
  }

  /** When `frame` is heard here, in performance.now() milliseconds; null before the first report. */
  timeOf(frame) {
    const exact_ms = this.exact?.(frame) ?? null;
    if (exact_ms !== null) return exact_ms;
    if (!this.#origins_ms.length) return null;
    return Math.min(...this.#origins_ms) + this.playout_ms + frame / FRAMES_PER_MS;
  }

  /** A beat announced ahead; one announced anew (the tempo changed) replaces itself and all after it. */
  announce(beat) {
    this.#beats = this.#beats.filter(
      (other) => other.bar < beat.bar || (other.bar === beat.bar && other.beat < beat.beat),
    );
    this.#beats.push(beat);
  }

  /** The newest beat that has been heard since the last call, or null. */
  takeBeat(now_ms = performance.now()) {
    let heard = null;
    while (this.#beats.length && this.#isHeard(this.#beats[0], now_ms)) heard = this.#beats.shift();
    return heard;
  }

  #isHeard(beat, now_ms) {
    const time_ms = this.timeOf(beat.frame);
    return time_ms !== null && time_ms <= now_ms;
  }
}
