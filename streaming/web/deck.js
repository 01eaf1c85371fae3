/* Plays tracks at one play head. In: a track, places in seconds; out: sound, and where it is. Remembers the track that
   is heard, which frame sounds when, and the blocks that are scheduled. No AudioWorklet, as in pcm.js. */

import { RATE } from "./track.js";

const BLOCK_FRAMES = 12_000;
const AHEAD_S = 0.8;
const LEAD_S = 0.04;
const FADE_S = 0.012;
const TICK_MS = 100;
const ENOUGH_FRAMES = RATE / 2;

export class Deck {
  isPlaying = false;
  /** It would play, and the music is not there yet. */
  isWaiting = false;
  /** Gain by frame: `curve(frame, length)` answers a Float32Array, or null for no change. */
  curve = null;
  #track = null;
  #coming = null;
  #position_s = 0;
  #origin = 0;
  #next = 0;
  #lane = null;
  #timer = 0;

  /** `output` is the page's; `onChange()` is told when it plays, waits, stands or has come to the end. */
  constructor(output, onChange) {
    this.output = output;
    this.onChange = onChange;
  }

  get track() {
    return this.#track;
  }

  get #now() {
    return Math.ceil(this.output.context.currentTime * RATE);
  }

  /** Where the music is that is heard now, in seconds. */
  get position_s() {
    if (!this.isPlaying || this.isWaiting) return this.#position_s;
    const heard_s = this.output.context.currentTime - this.output.latency_s - this.#origin / RATE;
    return Math.max(this.#position_s, heard_s);
  }

  /** The music is another from here on; while it plays, as soon as it has been composed as far as the play head. */
  load(track) {
    if (track === this.#track) return void (this.#coming = null);
    this.#coming = track;
    if (!this.isPlaying || this.isWaiting || !this.#track) this.#change();
    else this.#tick();
  }

  play() {
    if (this.isPlaying) return;
    this.output.open();
    this.isPlaying = true;
    this.#begin();
  }

  pause() {
    if (!this.isPlaying) return;
    this.#position_s = this.position_s;
    this.isPlaying = this.isWaiting = false;
    this.#silence();
    this.onChange();
  }

  seek(position_s) {
    this.#position_s = Math.max(0, position_s);
    if (this.isPlaying) this.#begin();
    else this.onChange();
  }

  /** What is scheduled is made anew: the curve is another. */
  refresh() {
    if (this.isPlaying && !this.isWaiting) this.#enter(this.#track);
  }

  /** More has been composed. */
  wake() {
    if (this.#coming || this.isWaiting) this.#tick();
  }

  get #isThere() {
    return isThere(this.#track, Math.round(this.#position_s * RATE));
  }

  #change() {
    this.#track = this.#coming;
    this.#coming = null;
    if (this.isPlaying) this.#begin();
  }

  /** Play from the place where it stands, or wait for the music. */
  #begin() {
    this.#silence();
    if (this.#coming && !isThere(this.#track, Math.round(this.#position_s * RATE))) {
      this.#track = this.#coming;
      this.#coming = null;
    }
    this.isWaiting = !this.#isThere;
    if (!this.isWaiting) {
      this.#origin = this.#now + Math.round(LEAD_S * RATE) - Math.round(this.#position_s * RATE);
      this.#open(Math.round(this.#position_s * RATE));
    }
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
    this.onChange();
  }

  /** A lane of blocks from `frame` on, which fades in. */
  #open(frame) {
    const { context, input } = this.output;
    this.#next = frame;
    this.#lane = { gain: new GainNode(context, { gain: 0 }), sources: [] };
    this.#lane.gain.connect(input);
    const at_s = (this.#origin + frame) / RATE;
    this.#lane.gain.gain.setValueAtTime(0, at_s);
    this.#lane.gain.gain.linearRampToValueAtTime(1, at_s + FADE_S);
  }

  /** Leave the lane that sounds for one of `track` at the same place. */
  #enter(track) {
    const frame = this.#now + Math.round(LEAD_S * RATE) - this.#origin;
    this.#silence((this.#origin + frame) / RATE, false);
    this.#track = track;
    this.#open(frame);
    this.#tick();
  }

  #silence(at_s = this.output.context?.currentTime ?? 0, stopsClock = true) {
    if (stopsClock) clearInterval(this.#timer);
    const lane = this.#lane;
    this.#lane = null;
    if (!lane) return;
    lane.gain.gain.cancelScheduledValues(at_s);
    lane.gain.gain.setTargetAtTime(0, at_s, FADE_S / 3);
    const end_s = at_s + 3 * FADE_S;
    for (const source of lane.sources) source.stop(end_s);
    setTimeout(() => lane.gain.disconnect(), (end_s - this.output.context.currentTime) * 1000 + 50);
  }

  #tick() {
    if (!this.isPlaying) return this.#coming && this.#change();
    if (this.isWaiting) {
      if (this.#coming) [this.#track, this.#coming] = [this.#coming, null];
      if (this.#isThere) this.#begin();
      return;
    }
    const now = this.#now - this.#origin;
    if (this.#coming && isThere(this.#coming, now)) {
      const track = this.#coming;
      this.#coming = null;
      return this.#enter(track);
    }
    while (this.#next < now + AHEAD_S * RATE && this.#next < this.#track.composed) this.#schedule();
    if (this.#track.isWhole && now >= this.#track.numFrames) return this.#end();
    if (!this.#track.isWhole && now >= this.#track.composed - 2400) this.#starve();
  }

  #schedule() {
    const { context } = this.output;
    const length = Math.min(BLOCK_FRAMES, this.#track.composed - this.#next);
    const late = Math.max(0, this.#now - (this.#origin + this.#next));
    if (late >= length) {
      this.#next += length; // its time is over
      return;
    }
    const buffer = new AudioBuffer({ length, numberOfChannels: 2, sampleRate: RATE });
    const curve = this.curve?.(this.#next, length);
    this.#track.read(this.#next, length).forEach((side, channel) => {
      if (curve) for (let index = 0; index < length; index++) side[index] *= curve[index];
      buffer.copyToChannel(side, channel);
    });
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(this.#lane.gain);
    const lane = this.#lane;
    source.start((this.#origin + this.#next + late) / RATE, late / RATE);
    lane.sources.push(source);
    source.onended = () => (lane.sources = lane.sources.filter((other) => other !== source));
    this.#next += length;
  }

  /** It plays faster than it is composed. */
  #starve() {
    this.#position_s = this.position_s;
    this.#begin();
  }

  #end() {
    this.#silence();
    this.isPlaying = false;
    this.#position_s = 0;
    this.onChange();
  }
}

function isThere(track, frame) {
  return track !== null && (track.isWhole || track.composed >= frame + ENOUGH_FRAMES);
}
