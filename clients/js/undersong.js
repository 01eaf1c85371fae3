/* Undersong for a page: one station, its sound, its clock. In: what is asked; out: music, acks, events at the moment at
   which they are heard. Remembers listeners, what was asked and not answered, and what was heard last.

       import { Undersong } from "http://127.0.0.1:8400/client/undersong.js";
       const music = new Undersong();
       await music.connect({ name: "my-game", mood: "night" });
       button.onclick = () => music.play();
       music.on("beat", ({ beat }) => jump(beat));
       await music.steer({ energy: 0.8 }, { at: "bar" });
*/

import { Agenda } from "./agenda.js";
import { Bed } from "./bed.js";
import { FrameClock } from "./clock.js";
import { Outbox, Refusal } from "./outbox.js";
import { Output, RATE } from "./output.js";
import { Player } from "./player.js";
import { Problem, Server } from "./server.js";
import { tapOf } from "./tap.js";

export { Problem, Refusal, Server };

const FADE_MS = 30;
const STOP_FADE_MS = 120;
const BEATS = ["beat", "bar"];
const HEARD = [...BEATS, "section", "state", "marker"];
const TAKEN = 409;
const GONE = 404;

export class Undersong {
  #listeners = new Map();
  #agenda = new Agenda(
    (event) => event.moment_ms ?? this.heardAt(event.frame),
    (event, at_ms) =>
      BEATS.includes(event.type) && this.context && this.bed.hides("moment_ms" in event, this.output.timeOf(at_ms)),
  );
  #outbox;
  #open = null;
  #ready = null;
  #tap = null;
  #status = null;
  /** Whether the music stands still because nobody sees the page. */
  #isStill = false;

  /**
   * `server`: its address; by default where this module was loaded from. `token`: what it lets in with, if it asks for
   * one. `transport`: "auto" (WebRTC, and a WebSocket where that finds no way), "webrtc" or "websocket". `profile`:
   * "robust" has WebRTC carry every packet twice, against losses on the way. `buffer_ms`: kept in hand against jitter.
   * `pausesWhenHidden`: the music stands still while nobody sees the page. `element`: the audio element that plays
   * WebRTC.
   */
  constructor({
    server,
    token = null,
    transport = "auto",
    profile = null,
    buffer_ms = 20,
    pausesWhenHidden = false,
    element = new Audio(),
  } = {}) {
    this.server = new Server(new URL(server ?? "../", server ? document.baseURI : import.meta.url).href, token);
    this.output = new Output(element);
    this.clock = new FrameClock();
    this.bed = new Bed(this.output, (frame) => this.timeOf(frame), {
      gone: () => this.#emit("gone", {}),
      back: () => this.#emit("back", {}),
      beat: (beat) => this.#agenda.announce(this.#timed(beat)),
    });
    this.player = new Player(
      this.server,
      this.output,
      {
        state: (state) => this.#meetState(state),
        station: (station, how) => this.#meetStation(station, how),
        session: (session) => (this.bed.session = session),
        stream: (stream) => this.#hear(stream),
        node: (node) => this.#emit("node", node),
        samples: (position, channels) => this.bed.tape.write(position, channels),
        stats: (stats) => this.#meetStats(stats),
        event: (event) => this.#receive(event),
        open: () => this.#meetConnection(),
        problem: (problem) => this.#meetProblem(problem),
        gone: (id) => this.#meetEnd(id),
      },
      transport,
      profile,
    );
    this.player.setBuffer(buffer_ms);
    this.#outbox = new Outbox(
      (control) => this.player.send(control),
      (control) => this.#emit("sent", control),
    );
    document.addEventListener("visibilitychange", () => this.#meetVisibility(pausesWhenHidden));
    window.addEventListener("pagehide", () => {
      this.#emit("leaving", {});
      this.leave();
    });
  }

  // --- events -----------------------------------------------------------------------------------------------------

  /** Call `listener(event)` at every event of a type; answers a function that ends that. `ahead_s`: so much before it
      is heard, of what is heard. */
  on(type, listener, { ahead_s = 0 } = {}) {
    if (HEARD.includes(type)) return this.#agenda.listen(type, (event) => call(listener, this.#timed(event)), ahead_s);
    const listeners = this.#listeners.get(type) ?? new Set();
    const entry = (event) => call(listener, event);
    this.#listeners.set(type, listeners.add(entry));
    return () => listeners.delete(entry);
  }

  #emit(type, event) {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }

  /** An event and when it sounds, in seconds of the audio context; null before there is one. */
  #timed(event) {
    const time = event.moment_ms === undefined ? this.timeOf(event.frame) : this.output.timeOf(event.moment_ms);
    return { ...event, time };
  }

  // --- playing ----------------------------------------------------------------------------------------------------

  /** "idle", "starting", "connected" (without sound), "playing" or "reconnecting". */
  get phase() {
    return this.player.state;
  }

  /** The station as the server described it when it was found; null while there is none. */
  get station() {
    return this.player.station;
  }

  /** What the station told last of itself: position, mood, state … */
  get status() {
    return this.#status;
  }

  /** The context on whose clock times are; null before play(). */
  get context() {
    return this.output.context;
  }

  /** Have a station, without its sound. `opening`: as of POST /v1/stations, or a function that resolves to a station;
      one with a `name` that exists already is joined. `join`: { id, isOurs, isShared } of one to join. Resolves to the
      station. Rejects with a `Problem` where time does not help; everything else is tried for ever. */
  connect(opening = {}, join = null) {
    return this.#begin(opening, join, () => this.player.connect(this.#open, join));
  }

  /** Have its sound, too, and a station first where there is none. Call it in a gesture: browsers want one. Resolves when
      it plays. Rejects as `connect` does, and where it is left before. */
  async play(opening = {}, join = null) {
    this.output.open();
    this.bed.begin();
    await this.#begin(opening, join, () => this.player.play(this.#open, join));
    if (this.phase !== "playing") await this.#played();
  }

  /** Resolves when there is a station. */
  #begin(opening, join, begin) {
    if (this.phase === "idle") {
      this.#open = typeof opening === "function" ? opening : () => this.#find(opening);
      this.#ready = Promise.withResolvers?.() ?? withResolvers();
      this.#ready.promise.catch(() => {});
      this.#ready.isNamed = join === null && typeof opening !== "function" && Boolean(opening.name);
    }
    begin();
    return this.#ready.promise;
  }

  /** A new station, or the one that has its name. */
  async #find(opening) {
    try {
      return await this.server.createStation(opening);
    } catch (problem) {
      if (!opening.name || problem.status !== TAKEN) throw problem;
      return this.server.fetchStation(opening.name);
    }
  }

  #played() {
    return new Promise((resolve, reject) => {
      const off = this.on("phase", (phase) => {
        if (phase !== "playing" && phase !== "idle") return;
        off();
        if (phase === "playing") resolve();
        else reject(left());
      });
    });
  }

  /** End the sound, softly. A station that this page opened without a name, and that nobody was given, ends with it. */
  async stop() {
    const { volume } = this;
    this.fadeTo(0, STOP_FADE_MS);
    await new Promise((resolve) => setTimeout(resolve, STOP_FADE_MS));
    this.player.stop();
    this.#ready?.reject(left());
    this.fadeTo(volume, 0);
  }

  /** End the sound here at once; the station goes on. */
  leave() {
    this.player.leave();
    this.#ready?.reject(left());
  }

  /** 0 … 1. */
  get volume() {
    return this.output.volume;
  }

  set volume(volume) {
    this.fadeTo(volume, FADE_MS);
  }

  fadeTo(volume, duration_ms) {
    this.output.fadeTo(volume, duration_ms);
  }

  // --- asking -----------------------------------------------------------------------------------------------------

  /** Any control, as the server knows it. Resolves to its ack, rejects with a `Refusal`. */
  send(control) {
    return this.#outbox.ask(control);
  }

  /** Mood fields. `place`: { at, over, how }. */
  steer(set, place = {}) {
    return this.send({ type: "steer", set, ...place });
  }

  /** Go to a state of the station's. `place`: { at, over, how } in place of what the matrix says. */
  state(name, place = {}) {
    return this.send({ type: "state", name, ...place });
  }

  /** Set parameters of the station's, by name and value or as an object; as often as you like. */
  parameter(name, value) {
    return this.send({ type: "parameter", set: typeof name === "string" ? { [name]: value } : name });
  }

  hit(options = {}) {
    return this.send({ type: "hit", ...options });
  }

  stinger(name, options = {}) {
    return this.send({ type: "stinger", name, ...options });
  }

  /** `what`: "next", "stay", "leave", or "go" with a section in `options.to`. */
  section(what, options = {}) {
    return this.send({ type: "section", do: what, ...options });
  }

  duck(gain_db, over = 0.2) {
    return this.send({ type: "duck", gain_db, over });
  }

  cancel(target) {
    return this.send({ type: "cancel", target });
  }

  pause() {
    this.bed.isWanted = false;
    return this.send({ type: "transport", do: "pause" });
  }

  resume() {
    this.bed.isWanted = true;
    return this.send({ type: "transport", do: "play" });
  }

  /** True while there is a connection for what is asked. */
  get isOpen() {
    return this.player.isOpen;
  }

  /** True while a wish waits for a connection. */
  get isWaiting() {
    return this.#outbox.isWaiting;
  }

  // --- time -------------------------------------------------------------------------------------------------------

  /** When `frame` sounds, in seconds of the audio context: a node started then is heard with it. Null where unknown. */
  timeOf(frame) {
    const exact = this.player.timeOf(frame);
    if (exact !== null || !this.context) return exact;
    const moment_ms = this.clock.heardAt(frame);
    return moment_ms === null ? null : this.output.timeOf(moment_ms);
  }

  /** The same in performance.now() milliseconds. */
  heardAt(frame) {
    const exact = this.player.timeOf(frame);
    return exact === null ? this.clock.heardAt(frame) : this.output.momentOf(exact);
  }

  /** The frame that is heard now; null where unknown. */
  get frame() {
    const origin_ms = this.heardAt(0);
    return origin_ms === null ? null : Math.round(((performance.now() - origin_ms) / 1000) * RATE);
  }

  // --- what comes -------------------------------------------------------------------------------------------------

  #meetState(state) {
    if (state === "idle") {
      this.bed.end();
      this.#agenda.clear();
      this.#outbox.clear();
      this.#status = null;
    }
    this.#emit("phase", state);
  }

  #meetStation(station, how) {
    if (this.#ready.isNamed) this.player.isShared = true;
    this.clock.reset();
    this.#agenda.clear();
    this.bed.forget();
    this.#status = station;
    this.#emit("station", { station, how });
    this.#ready.resolve(station);
  }

  #meetConnection() {
    this.clock.reset(); // a server that was away goes on at the frame where it stopped
    this.#outbox.opened();
    this.#emit("open", {});
  }

  #meetProblem(problem) {
    if (!problem.isPassing) this.#ready.reject(problem);
    this.#emit("problem", problem);
  }

  #meetEnd(id) {
    this.#ready.reject(new Problem(GONE, `there is no station ${id}`));
    this.#emit("ended", { id });
  }

  #receive(event) {
    if (event.type === "ack" || event.type === "error") {
      const control = this.#outbox.answered(event);
      this.#emit(event.type === "ack" ? "ack" : "refused", { ...event, control });
    } else if (event.type === "status") {
      if (event.state === "asleep") this.clock.reset();
      else this.clock.observe(event.position.frame);
      if (event.state !== "closed") this.bed.isWanted = event.state === "playing"; // as the last word of a server that ends
      if (event.still_from !== undefined) this.#agenda.takeBack(event.still_from);
      this.#status = event;
      this.#emit("status", event);
    } else if (HEARD.includes(event.type)) {
      if (event.type === "beat") this.bed.meet(event);
      this.#agenda.announce(event);
    } else {
      this.#emit(event.type, event);
    }
  }

  #meetStats({ buffer_ms, network_ms }) {
    this.clock.playout_ms = (buffer_ms ?? this.player.buffer_ms) + this.output.latency_s * 1000;
    this.#emit("stats", { transport: this.player.transport, buffer_ms, network_ms });
  }

  async #hear(stream) {
    const node = this.output.nodeOf(stream);
    this.#emit("node", node);
    this.#record(node);
    try {
      await this.output.playStream(stream);
    } catch (error) {
      if (error.name === "NotAllowedError") this.#emit("silenced", { resume: () => this.#hear(stream) });
    }
  }

  /** Keep what WebRTC brings for the bed; of a WebSocket the session itself tells. */
  async #record(node) {
    this.#tap?.disconnect();
    this.#tap = null;
    if (node.context !== this.context) return;
    const tap = await tapOf(node, this.bed.tape);
    this.#tap?.disconnect(); // another stream may have come meanwhile
    this.#tap = tap;
  }

  #meetVisibility(pausesWhenHidden) {
    const isHidden = document.visibilityState === "hidden";
    if (!isHidden) this.context?.resume();
    if (!pausesWhenHidden || this.phase === "idle") return;
    if (isHidden && this.#status?.state === "playing") {
      this.#isStill = true;
      this.pause();
    } else if (!isHidden && this.#isStill) {
      this.#isStill = false;
      this.resume();
    }
  }
}

/** What goes wrong in a listener is the page's to hear of, and ends nothing here. */
function call(listener, event) {
  try {
    listener(event);
  } catch (error) {
    reportError(error);
  }
}

/** What they are told who still wait for music that nobody wants any more. */
const left = () => new Problem(0, "the station has been left");

function withResolvers() {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  return out;
}
