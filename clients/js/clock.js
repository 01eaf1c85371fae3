/* When a frame is heard, as far as its journey tells. In: the server's play head as reported, and the delays after it;
   out: times on performance.now()'s clock. Remembers the reports of the last half minute.

   A report of frame f that arrives at time a says: frame 0 left the server no later than a - f/48. The least of these
   is the report that the network delayed least; buffer and output delay come on top. */

import { Least } from "./least.js";

const FRAMES_PER_MS = 48;
const NUM_REPORTS = 30;

export class FrameClock {
  #origin_ms = new Least(NUM_REPORTS);

  constructor() {
    /** Milliseconds between the network's edge and the ear: measured jitter buffer plus audio output. */
    this.playout_ms = 0;
  }

  reset() {
    this.#origin_ms.clear();
  }

  /** The server was sending `frame` when this report left it. */
  observe(frame, arrived_ms = performance.now()) {
    this.#origin_ms.add(arrived_ms - frame / FRAMES_PER_MS);
  }

  /** When `frame` is heard here, in performance.now() milliseconds; null before the first report. */
  heardAt(frame) {
    const origin_ms = this.#origin_ms.value;
    return origin_ms === null ? null : origin_ms + this.playout_ms + frame / FRAMES_PER_MS;
  }
}
