/* What sounds while the station cannot be heard: the last bars, again and again. In: what was heard (`tape`), the beats
   in it, and whether more comes; out: a loop that begins where the live sound runs out and ends on a beat of the music
   that has come back. Remembers beats, and the loop that sounds.

   All positions are samples of the output's context, in which a sample of the tape and the moment at which it was heard
   are the same number: where the tape breaks off, the loop goes on in the same place of the bar. */

import { RATE, ramp } from "./output.js";
import { Tape } from "./tape.js";

const POLL_MS = 15;
const HAND_S = 0.03;
const CROSS_S = 0.03;
const SEAM_FRAMES = 480;
const MOST_BARS = 4;
const STEADY = 0.02;
const KEPT_S = 30;
const SURE_S = 0.3;
const PATIENCE_S = 3;
const AHEAD_S = 1;

const positionOf = (time_s) => Math.round(time_s * RATE);
const modulo = (number, base) => ((number % base) + base) % base;

export class Bed {
  tape = new Tape();
  #beats = [];
  #loop = null;
  #source = null;
  #gain = null;
  #flowsSince_s = null;
  #ends_s = null;
  #toldUpTo = 0;

  /**
   * `timeOf(frame)`: when that is heard, in seconds of the output's context, or null. `on`: { gone(), back(), beat(beat) };
   * a beat of the bed carries `moment_ms`, when it is heard.
   */
  constructor(output, timeOf, on) {
    this.output = output;
    this.timeOf = timeOf;
    this.on = on;
    /** What brings the live sound: it says by `endsAt_s` how far that reaches; null while there is none. */
    this.session = null;
    /** False where silence is wanted. */
    this.isWanted = true;
  }

  get isSounding() {
    return this.#source !== null;
  }

  /** Whether the beats of the bed (`isOwn`), or of the live sound, are not what is heard at `time_s`. */
  hides(isOwn, time_s) {
    if (!this.isSounding) return isOwn;
    return isOwn !== time_s < (this.#ends_s ?? Infinity) - CROSS_S;
  }

  /** The sound has begun: watch over it from now on. */
  begin() {
    clearInterval(this.timer);
    this.timer = setInterval(() => this.#poll(), POLL_MS);
  }

  /** Nothing is wanted any more. */
  end() {
    clearInterval(this.timer);
    this.#drop(this.output.context?.currentTime ?? 0);
    this.#beats = [];
    this.#loop = null;
    this.session = null;
  }

  /** A beat told ahead; one told anew replaces itself and all after it. */
  meet(beat) {
    this.#beats = this.#beats.filter((old) => old.bar < beat.bar || (old.bar === beat.bar && old.beat < beat.beat));
    this.#beats.push({ ...beat, position: null });
    while (this.#beats.length > 1 && beat.seconds - this.#beats[0].seconds > KEPT_S) this.#beats.shift();
  }

  /** Another station: its beats are others. */
  forget() {
    this.#beats = [];
  }

  #poll() {
    const { currentTime: now_s, state } = this.output.context;
    if (state !== "running") return;
    const hand_s = (this.session?.endsAt_s ?? 0) - now_s;
    const flows = hand_s > HAND_S;
    if (!flows) this.#flowsSince_s = null;
    else this.#flowsSince_s ??= now_s;
    if (flows) this.#place(now_s);
    if (!this.isSounding) {
      if (!flows && this.isWanted) this.#cover(now_s, hand_s);
      return;
    }
    if (!this.isWanted) return this.#drop(now_s);
    if (!flows && this.#ends_s !== null) this.#stay(now_s);
    if (flows && this.#ends_s === null) this.#findEnd(now_s);
    if (this.#ends_s !== null && now_s > this.#ends_s + CROSS_S) return this.#drop(now_s);
    this.#tellBeats(now_s);
  }

  /** Where on the tape beats are or will be; one that has been heard stays where it was. */
  #place(now_s) {
    for (const beat of this.#beats) {
      if (beat.position !== null && beat.position < positionOf(now_s)) continue;
      const time_s = this.timeOf(beat.frame);
      beat.position = time_s === null ? null : positionOf(time_s);
    }
  }

  /** Begin where the live sound runs out, in the same place of the bar. */
  #cover(now_s, hand_s) {
    this.#loop = this.#cut() ?? this.#loop;
    if (!this.#loop) return;
    const { context, input } = this.output;
    const begin_s = now_s + Math.max(0.005, Math.min(HAND_S, hand_s - CROSS_S));
    this.#gain = new GainNode(context, { gain: 0 });
    this.#source = new AudioBufferSourceNode(context, { buffer: this.#loop.buffer, loop: true });
    this.#source.connect(this.#gain).connect(input);
    this.#source.start(begin_s, modulo(positionOf(begin_s) - this.#loop.from, this.#loop.length) / RATE);
    ramp(this.#gain.gain, 1, begin_s, CROSS_S);
    this.output.fadeLive(0, begin_s, CROSS_S);
    this.#toldUpTo = positionOf(begin_s);
    this.#ends_s = null;
    this.on.gone();
  }

  /** The live sound is there again: it takes over on a beat, or at once where none is told for long. */
  #findEnd(now_s) {
    const flowing_s = now_s - this.#flowsSince_s;
    if (flowing_s < SURE_S) return;
    const soonest = positionOf(now_s + CROSS_S);
    const next = this.#beats.find(({ position }) => position !== null && position > soonest);
    if (!next && flowing_s < PATIENCE_S) return;
    this.#ends_s = (next?.position ?? soonest) / RATE;
    ramp(this.#gain.gain, 0, this.#ends_s - CROSS_S, CROSS_S);
    this.output.fadeLive(1, this.#ends_s - CROSS_S, CROSS_S);
  }

  /** It has run out again before it took over. */
  #stay(now_s) {
    this.#ends_s = null;
    ramp(this.#gain.gain, 1, now_s, CROSS_S);
    this.output.fadeLive(0, now_s, CROSS_S);
  }

  #drop(now_s) {
    if (!this.#source) return;
    ramp(this.#gain.gain, 0, now_s, CROSS_S);
    this.#source.stop(now_s + CROSS_S);
    if (this.#ends_s === null) this.output.fadeLive(1, now_s, CROSS_S);
    this.#source = this.#gain = this.#ends_s = null;
    this.on.back();
  }

  /** The last whole bars on the tape, as many as are of one tempo, joined at their ends: { buffer, from, length, beats },
      or null where there is none. */
  #cut() {
    const beats = this.#beats.filter(({ position }) => position !== null && position <= this.tape.end);
    const bars = beats.filter(({ beat }) => beat === 1);
    const lengths = bars.slice(1).map((bar, index) => bar.position - bars[index].position);
    const isLike = (length) => Math.abs(length / lengths.at(-1) - 1) < STEADY;
    let count = 0;
    while (count < Math.min(MOST_BARS, lengths.length) && isLike(lengths.at(-1 - count))) count++;
    for (; count; count--) {
      const [from, to] = [bars.at(-1 - count).position, bars.at(-1).position];
      if (this.tape.holds(from - SEAM_FRAMES, to)) return this.#join(from, to, beats);
    }
    return null;
  }

  /** The end of the loop becomes what was heard before its beginning. */
  #join(from, to, beats) {
    const length = to - from;
    const buffer = new AudioBuffer({ length, numberOfChannels: 2, sampleRate: RATE });
    this.tape.read(from - SEAM_FRAMES, to).forEach((heard, channel) => {
      const wave = buffer.getChannelData(channel);
      wave.set(heard.subarray(SEAM_FRAMES));
      for (let index = 0; index < SEAM_FRAMES; index++) {
        const share = index / SEAM_FRAMES;
        wave[length - SEAM_FRAMES + index] = heard[length + index] * (1 - share) + heard[index] * share;
      }
    });
    return { buffer, from, length, beats: beats.filter(({ position }) => from <= position && position < to) };
  }

  /** The beats of the loop are told as those of the station were; bars are counted on. */
  #tellBeats(now_s) {
    const { from, length, beats } = this.#loop;
    const numBars = beats.filter(({ beat }) => beat === 1).length;
    const upTo = positionOf(Math.min(now_s + AHEAD_S, this.#ends_s ?? Infinity));
    for (let turn = Math.floor((this.#toldUpTo - from) / length); from + turn * length < upTo; turn++) {
      for (const beat of beats) {
        const position = beat.position + turn * length;
        if (position <= this.#toldUpTo || position >= upTo) continue;
        const frame = beat.frame + turn * length;
        const moment_ms = this.output.momentOf(position / RATE);
        this.on.beat({ ...beat, bar: beat.bar + turn * numBars, frame, seconds: frame / RATE, moment_ms });
      }
    }
    this.#toldUpTo = Math.max(this.#toldUpTo, upTo);
  }
}
