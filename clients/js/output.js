/* Where the sound leaves the page. In: a WebRTC stream, or nodes; out: sound, under one volume; times of the audio
   context as moments of performance.now(), and back. Remembers the audio element that plays streams, the context and
   gains that play nodes, the volume, and how much of the live sound is let through. */

import { Least } from "./least.js";

export const RATE = 48_000;
const RESUME_MS = 400;
const STEP_MS = 8;
const NUM_SKEWS = 50;
const NEW_SKEW_MS = 200;

/** A value on its way, read at any moment. */
class Ramp {
  constructor(value) {
    [this.from, this.to, this.begin_ms, this.end_ms] = [value, value, 0, 0];
  }

  goTo(target, begin_ms, duration_ms) {
    this.from = this.valueAt(performance.now());
    [this.to, this.begin_ms, this.end_ms] = [target, begin_ms, begin_ms + duration_ms];
  }

  valueAt(moment_ms) {
    if (moment_ms >= this.end_ms) return this.to;
    const share = Math.max(0, moment_ms - this.begin_ms) / (this.end_ms - this.begin_ms);
    return this.from + (this.to - this.from) * share;
  }
}

export class Output {
  #gain = null;
  #live = null;
  #timer = 0;
  #volume;
  #liveShare = new Ramp(1);
  #skew_ms = new Least(NUM_SKEWS);

  constructor(element) {
    this.element = element;
    this.#volume = new Ramp(element.volume);
    /** At the station's own rate, so that blocks join without resampling; null before `open`. */
    this.context = null;
  }

  /** Be ready to sound; call it in a gesture where the browser wants one. */
  open() {
    if (!this.context) {
      this.context = new AudioContext({ latencyHint: "interactive", sampleRate: RATE });
      this.#gain = new GainNode(this.context, { gain: this.#volume.to });
      this.#live = new GainNode(this.context);
      this.#live.connect(this.#gain).connect(this.context.destination);
    }
    return this.context.resume();
  }

  /** True where the browser lets sound begin without (another) gesture. */
  async mayStart() {
    await Promise.race([this.open(), new Promise((resolve) => setTimeout(resolve, RESUME_MS))]);
    return this.context.state === "running";
  }

  /** The node to play through. */
  get input() {
    return this.#gain;
  }

  /** The node for what comes from a station: `fadeLive` has hold of it. */
  get live() {
    return this.#live;
  }

  /** Seconds between a sample's time and the loudspeaker, as far as the browser knows. */
  get latency_s() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  /** When what is scheduled at `time_s` of the context is heard, in performance.now() milliseconds. */
  momentOf(time_s) {
    return 1000 * (time_s + this.latency_s) + this.#skew();
  }

  /** What has to be scheduled where to be heard at that moment, in seconds of the context. */
  timeOf(moment_ms) {
    return (moment_ms - this.#skew()) / 1000 - this.latency_s;
  }

  /** The page's clock less the context's, in milliseconds. The latter advances in steps: the least is right after one. */
  #skew() {
    const skew_ms = performance.now() - 1000 * this.context.currentTime;
    if (skew_ms > this.#skew_ms.value + NEW_SKEW_MS) this.#skew_ms.clear(); // it stood still for a while
    this.#skew_ms.add(skew_ms);
    return this.#skew_ms.value;
  }

  /** Play a stream. Rejects where the browser wants a gesture first. */
  async playStream(stream) {
    this.element.srcObject = stream;
    await this.element.play();
  }

  /** A node that carries `stream`. Firefox joins a stream only to a context at the rate of the sound card. */
  nodeOf(stream) {
    try {
      return this.context.createMediaStreamSource(stream);
    } catch {
      return new AudioContext().createMediaStreamSource(stream);
    }
  }

  get volume() {
    return this.#volume.to;
  }

  fadeTo(target, duration_ms) {
    this.#volume.goTo(target, performance.now(), duration_ms);
    if (this.context) ramp(this.#gain.gain, target, this.context.currentTime, duration_ms / 1000);
    this.#step();
  }

  /** Let the live sound through (1) or not (0), from `begin_s` of the context on. */
  fadeLive(target, begin_s, duration_s) {
    this.#liveShare.goTo(target, this.momentOf(begin_s), 1000 * duration_s);
    ramp(this.#live.gain, target, begin_s, duration_s);
    this.#step();
  }

  /** The element has no ramps of its own. */
  #step() {
    clearTimeout(this.#timer);
    const now_ms = performance.now();
    this.element.volume = this.#volume.valueAt(now_ms) * this.#liveShare.valueAt(now_ms);
    if (now_ms < Math.max(this.#volume.end_ms, this.#liveShare.end_ms))
      this.#timer = setTimeout(() => this.#step(), STEP_MS);
  }
}

/** Let a parameter go to `target` from where it is; a ramp that has not begun is forgotten. */
export function ramp(parameter, target, begin_s, duration_s) {
  const { value } = parameter;
  parameter.cancelScheduledValues(0);
  parameter.setValueAtTime(value, 0);
  parameter.setValueAtTime(value, begin_s);
  parameter.linearRampToValueAtTime(target, begin_s + duration_s);
}
