/* Where the sound leaves the page. In: a WebRTC stream, or nodes; out: sound, under one volume.
   Remembers the audio element that plays streams, the context and gain that play nodes, and the volume. */

const SAMPLE_RATE = 48_000;
const RESUME_MS = 400;
const STEP_MS = 8;

export class Output {
  #gain = null;
  #timer = 0;

  constructor(element) {
    this.element = element;
    /** At the station's own rate, so that blocks join without resampling; null before `open`. */
    this.context = null;
  }

  /** Be ready to sound; call it in a gesture where the browser wants one. */
  open() {
    if (!this.context) {
      this.context = new AudioContext({ latencyHint: "interactive", sampleRate: SAMPLE_RATE });
      this.#gain = new GainNode(this.context, { gain: this.element.volume });
      this.#gain.connect(this.context.destination);
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

  /** Seconds between a sample's time and the loudspeaker, as far as the browser knows. */
  get latency_s() {
    return this.context.outputLatency || this.context.baseLatency || 0;
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

  fadeTo(target, duration_ms) {
    this.#rampGain(target, duration_ms);
    clearTimeout(this.#timer);
    const [from, began_ms] = [this.element.volume, performance.now()];
    const step = () => {
      const share = Math.min(1, (performance.now() - began_ms) / duration_ms);
      this.element.volume = from + (target - from) * share;
      if (share < 1) this.#timer = setTimeout(step, STEP_MS);
    };
    step();
  }

  #rampGain(target, duration_ms) {
    if (!this.context) return;
    const { gain } = this.#gain;
    const now_s = this.context.currentTime;
    gain.cancelScheduledValues(now_s);
    gain.setValueAtTime(gain.value, now_s);
    gain.linearRampToValueAtTime(target, now_s + duration_ms / 1000);
  }
}
