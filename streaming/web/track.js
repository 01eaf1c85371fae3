/* The music of one render, heard while it is composed. In: a WAV stream; out: blocks of it as they are needed.
   Remembers its samples, 16 bits each, in chunks of a second. */

import { Problem } from "../client/server.js";
import { server } from "./home.js";
import { auditionPath, dismissRender, fetchRender, startRender } from "./renders.js";

export const RATE = 48_000;
const HEADER_BYTES = 44;
const FRAME_BYTES = 4;

export class Track {
  /** Frames that are there. */
  composed = 0;
  /** Frames of the whole; null before the stream has begun. */
  numFrames = null;
  isWhole = false;
  #chunks = [];
  #abort = new AbortController();
  #rest = new Uint8Array(0);
  #job = null;

  /** `asked` is the body of POST /v1/renders; `onMore()` is told when more has come. */
  constructor(asked, onMore) {
    this.asked = asked;
    this.onMore = onMore;
  }

  /** Resolves when all of it is there, or it was dropped. Throws `Problem`. The files of the job are not wanted. */
  async load() {
    const { signal } = this.#abort;
    try {
      this.#job = await startRender(this.asked);
      if (signal.aborted) return; // and the job goes as well
      const response = await server.request(auditionPath(this.#job), { signal }).catch((problem) => this.#explain(problem));
      const reader = response.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) this.#take(part.value);
      if (this.numFrames === null || this.composed < this.numFrames)
        await this.#explain(new Problem(0, "the music broke off"));
      this.isWhole = true;
      this.onMore();
    } catch (error) {
      if (!signal.aborted) throw error instanceof Problem ? error : new Problem(0, error.message);
    } finally {
      this.#dismiss();
    }
  }

  /** Stop composing; what is there stays. */
  drop() {
    this.#abort.abort();
    this.#dismiss();
  }

  /** `length` frames from `frame` on, [left, right]; what is not there yet is silent. */
  read(frame, length) {
    const sides = [new Float32Array(length), new Float32Array(length)];
    for (let index = 0; index < length;) {
      const [chunk, offset] = [this.#chunks[Math.floor((frame + index) / RATE)], (frame + index) % RATE];
      const run = Math.min(length - index, RATE - offset);
      if (chunk) {
        for (let step = 0; step < run; step++) {
          sides[0][index + step] = chunk[2 * (offset + step)] / 32768;
          sides[1][index + step] = chunk[2 * (offset + step) + 1] / 32768;
        }
      }
      index += run;
    }
    return sides;
  }

  #dismiss() {
    if (this.#job) dismissRender(this.#job);
    this.#job = null;
  }

  /** Throws what the job says of its end, or else `problem`. */
  async #explain(problem) {
    const { error } = this.#job ? await fetchRender(this.#job) : {};
    throw error ? new Problem(error.status, error.detail) : problem;
  }

  #take(bytes) {
    const joined = new Uint8Array(this.#rest.length + bytes.length);
    joined.set(this.#rest);
    joined.set(bytes, this.#rest.length);
    let begin = 0;
    if (this.numFrames === null) {
      if (joined.length < HEADER_BYTES) return void (this.#rest = joined);
      this.numFrames = new DataView(joined.buffer).getUint32(HEADER_BYTES - 4, true) / FRAME_BYTES;
      begin = HEADER_BYTES;
    }
    const whole = Math.floor((joined.length - begin) / FRAME_BYTES);
    const samples = new Int16Array(joined.buffer.slice(begin, begin + whole * FRAME_BYTES));
    this.#rest = joined.slice(begin + whole * FRAME_BYTES);
    this.#append(samples);
    this.onMore();
  }

  #append(samples) {
    for (let index = 0; index < samples.length;) {
      const offset = this.composed % RATE;
      if (offset === 0) this.#chunks.push(new Int16Array(2 * RATE));
      const run = Math.min(samples.length - index, 2 * (RATE - offset));
      this.#chunks.at(-1).set(samples.subarray(index, index + run), 2 * offset);
      this.composed += run / 2;
      index += run;
    }
  }
}
