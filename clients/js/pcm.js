/* The station's sound over a WebSocket, where WebRTC cannot connect. In: the station's id, blocks of 20 ms with their
   frames; out: the same blocks scheduled one after another on the audio clock, statistics, word of its loss.
   Remembers the socket, which frame sounds when, and how much sound is kept in hand.

   No AudioWorklet: a page under a plain http:// address of the local network is given none, and blocks that are scheduled
   sound as exactly. */

import { RATE } from "./output.js";
import { stationPath } from "./server.js";

const EDGE_FRAMES = 240;
const MARGIN_FRAMES = EDGE_FRAMES + 480;
const FLOOR_MS = 60;
const MOST_MS = 500;
const SURPLUS_MS = 60;
const FAR_TOO_MUCH_MS = 400;
const WATCH_BLOCKS = 250;
const CONNECT_MS = 4000;
const STALL_MS = 3000;

const framesOf = (duration_ms) => Math.round((duration_ms * RATE) / 1000);

export class PcmSession {
  transport = "WebSocket";
  pc = null;
  #context;
  #input;
  #edge;
  #socket = null;
  #isClosed = false;
  #watch = 0;
  #heardFrom = () => {};
  #arrived_ms = 0;
  #target = 0;
  #offset = null;
  #end = 0;
  #isSeam = true;
  #isSkipping = false;
  #leastRoom = Infinity;
  #numWatched = 0;
  #rooms = [];

  /** Blocks sound through `input`, a node of a running context at 48 kHz; `onNode(node)` is told what carries them, and
      `onSamples(position, channels)` what each holds and the sample of the context with which it begins.
      `lost` resolves when they have stopped. */
  constructor(server, buffer_ms, input, { onNode, onStats, onSamples }) {
    this.server = server;
    this.onSamples = onSamples;
    this.onNode = onNode;
    this.onStats = onStats;
    this.#context = input.context;
    this.#input = input;
    this.#edge = new GainNode(this.#context, { gain: 0 });
    this.#edge.connect(input);
    this.lost = new Promise((resolve) => (this.declareLost = resolve));
    this.setBuffer(buffer_ms);
  }

  /** True when the first block has come, false when none does; throws `Problem` where there is no such station. */
  async connect(stationId) {
    await this.server.fetchStation(stationId); // a socket that is refused does not say why
    if (this.#isClosed) return false;
    const began = new Promise((resolve) => {
      setTimeout(resolve, CONNECT_MS, false);
      this.#heardFrom = () => resolve(true);
    });
    this.#socket = new WebSocket(this.server.socketAddressOf(`${stationPath(stationId)}/audio?format=pcm_s16le`));
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onclose = () => this.declareLost(false);
    this.#socket.onmessage = ({ data }) => {
      if (typeof data !== "string") this.#take(data);
    };
    this.onNode(this.#edge);
    this.#arrived_ms = performance.now();
    this.#watch = setInterval(() => this.#measure(), 1000);
    return Promise.race([began, this.lost]);
  }

  /** What is kept in hand against jitter. TCP and this page's own pauses need more than WebRTC does. */
  setBuffer(buffer_ms) {
    this.#target = framesOf(FLOOR_MS + buffer_ms);
  }

  /** When `frame` sounds, in seconds of the context; null before the first block. */
  timeOf(frame) {
    return this.#offset === null ? null : (frame + this.#offset) / RATE;
  }

  /** How far the sound reaches that has come, likewise. */
  get endsAt_s() {
    return this.#isClosed ? 0 : this.#end / RATE;
  }

  close() {
    this.#isClosed = true;
    clearInterval(this.#watch);
    this.#socket?.close();
    this.#edge.disconnect(this.#input);
    this.declareLost(false);
  }

  #take(message) {
    this.#arrived_ms = performance.now();
    this.#heardFrom();
    if (this.#context.state !== "running") return;
    const frame = Number(new DataView(message).getBigUint64(0, true));
    const now = Math.ceil(this.#context.currentTime * RATE);
    if (this.#offset !== null && this.#isSurplus(frame, now)) return;
    this.#place(frame, now);
    this.#sound(frame + this.#offset, new Int16Array(message, 8));
  }

  /** Too much in hand (the clocks drift apart, or a stall's backlog came at once): leave blocks out until it is right. */
  #isSurplus(frame, now) {
    const room = this.#end - now;
    this.#rooms.push(room);
    this.#leastRoom = Math.min(this.#leastRoom, room);
    if (room > this.#target + framesOf(FAR_TOO_MUCH_MS)) this.#isSkipping = true;
    if (++this.#numWatched === WATCH_BLOCKS) {
      if (this.#leastRoom > this.#target + framesOf(SURPLUS_MS)) this.#isSkipping = true;
      this.#leastRoom = Infinity;
      this.#numWatched = 0;
    }
    if (this.#isSkipping && room <= this.#target) {
      this.#offset = this.#end - frame;
      this.#isSeam = true;
      this.#isSkipping = false;
    }
    return this.#isSkipping;
  }

  /** Decide when `frame` sounds: right after the block before it; where that is over or far off, a little ahead. */
  #place(frame, now) {
    const room = this.#offset === null ? null : frame + this.#offset - now;
    const isLate = room !== null && room < MARGIN_FRAMES;
    if (isLate) this.#target = Math.min(framesOf(MOST_MS), Math.round(this.#target * 1.25));
    const isFarOff = room === null || room > this.#target + framesOf(FAR_TOO_MUCH_MS) + RATE / 50;
    if (!isLate && !isFarOff) return;
    this.#offset = Math.max(this.#end, now + this.#target) - frame;
    this.#isSeam = true;
  }

  /** Schedule one block to begin at sample `begin` of the context; the sound has soft edges where it begins and ends. */
  #sound(begin, samples) {
    const length = samples.length / 2;
    const buffer = new AudioBuffer({ length, numberOfChannels: 2, sampleRate: RATE });
    for (const channel of [0, 1]) {
      const wave = buffer.getChannelData(channel);
      for (let index = 0; index < length; index++) wave[index] = samples[2 * index + channel] / 32768;
    }
    this.onSamples(
      begin,
      [0, 1].map((channel) => buffer.getChannelData(channel)),
    );
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.#edge);
    source.start(begin / RATE);

    const { gain } = this.#edge;
    if (this.#isSeam || begin !== this.#end) {
      gain.setValueAtTime(0, begin / RATE);
      gain.linearRampToValueAtTime(1, (begin + EDGE_FRAMES) / RATE);
    } else {
      gain.cancelScheduledValues((this.#end - EDGE_FRAMES - 1) / RATE);
    }
    this.#isSeam = false;
    this.#end = begin + length;
    gain.setValueAtTime(1, (this.#end - EDGE_FRAMES) / RATE);
    gain.linearRampToValueAtTime(0, this.#end / RATE);
  }

  #measure() {
    if (performance.now() - this.#arrived_ms > STALL_MS) this.declareLost(false);
    const rooms = this.#rooms.splice(0);
    if (!rooms.length) return;
    const mean = rooms.reduce((sum, room) => sum + room, 0) / rooms.length;
    this.onStats({ buffer_ms: (mean / RATE) * 1000, network_ms: null });
  }
}
