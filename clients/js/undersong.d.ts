/** Types of `undersong.js`. Whatever the server sends and takes beside these is in its `/v1/schema.json`. */

export interface Place {
  /** Frames of 48 kHz since the station opened. */
  frame: number;
  seconds: number;
  /** Bars and beats count from 1. */
  bar: number;
  beat: number;
  bpm: number;
}

/** When it sounds, in seconds of the audio context; null where that is not known. */
export interface Timed {
  time: number | null;
}

export interface Beat extends Place, Timed {
  type: "beat" | "bar";
  /** Only while the bed sounds: when it is heard, in performance.now() milliseconds. */
  moment_ms?: number;
  position_ms?: number;
  tempo?: number;
  timesig_upper?: number;
  timesig_lower?: number;
}

export interface Section extends Timed {
  type: "section";
  name: string;
  frame: number;
  seconds: number;
  bar: number;
  beat: number;
}

export interface StateChange extends Timed {
  type: "state";
  name: string;
  previous: string | null;
  frame: number;
  seconds: number;
  bar: number;
  beat: number;
}

export interface Marker extends Place, Timed {
  type: "marker";
  id: string | null;
  name: "hit" | "stinger";
  strength?: number;
  stinger?: string;
}

export interface Ack {
  type: "ack";
  id: string | null;
  /** Nothing changes before this place, and something after it. */
  effective_at: Place;
  /** Where each field begins, and where it has arrived. */
  fields: Record<string, Place & { arrived_at?: Place }>;
  latency_ms: number;
  lead_ms: number;
  replaces?: string[];
  /** Who asked, where the control named somebody. */
  by?: string;
}

export interface Status {
  type?: "status";
  id: string;
  name: string;
  seed: number;
  state: "playing" | "paused" | "ended" | "asleep" | "closed";
  position: Place;
  /** While it is paused or over: since which frame. */
  still_from?: number;
  mood: Record<string, unknown>;
  heading: Record<string, unknown>;
  /** Whose wish the music follows: texts of anybody's, to be shown as text alone. */
  asked_by?: { by: string; what: string; at_frame: number };
  /** The loudness that the music is brought to now, by its energy and by where its form stands. */
  target_lufs: number;
  /** While one runs: the music ends at its 0:00. */
  countdown?: { ends_at: Place; remaining_s: number };
  [more: string]: unknown;
}

export interface Station extends Status {
  links: Record<string, string>;
}

export type At =
  | "now"
  | "beat"
  | "bar"
  | "phrase"
  | "section"
  | `${number} beats`
  | `${number} bars`
  | { seconds: number }
  | { marker: string };
export type Over = number | `${number} beat` | `${number} beats` | `${number} bar` | `${number} bars`;
export type How = "glide" | "cut" | "bridge";
export type Layer = "drums" | "bass" | "harmony" | "texture" | "lead";

export interface MoodFields {
  mood?: string;
  prompt?: string;
  valence?: number;
  energy?: number;
  tension?: number;
  style?: string | Record<string, number>;
  bpm?: number | null;
  key?: string | null;
  density?: number | null;
  brightness?: number | null;
  temperature?: number;
  novelty?: number;
  layers?: Partial<Record<Layer, number | "mute">>;
}

export interface StateTables {
  states?: Record<string, MoodFields & Record<string, unknown>>;
  transitions?: Array<Record<string, unknown>>;
  initial?: string | null;
  parameters?: Record<string, Record<string, unknown>>;
}

export interface Opening extends MoodFields, StateTables {
  /** How the mood wanders by itself. */
  autopilot?: Record<string, unknown> | null;
  /** The station is found again under it, also after the server was started again. */
  name?: string;
  seed?: number;
  [more: string]: unknown;
}

export interface Join {
  id: string;
  isOurs?: boolean;
  isShared?: boolean;
}

export interface Where {
  at?: At;
  over?: Over;
  how?: How;
  id?: string;
}

export type Phase = "idle" | "starting" | "connected" | "playing" | "reconnecting";

export interface Events {
  beat: Beat;
  /** A beat with which a bar begins. */
  bar: Beat;
  section: Section;
  state: StateChange;
  marker: Marker;
  ack: Ack & { control: object | null };
  /** A control that changed nothing, or an error without one. */
  refused: { id: string | null; code: string; detail: string; control: object | null };
  status: Status;
  phase: Phase;
  station: { station: Station; how: "opened" | "joined" | "replaced" };
  /** The station cannot be heard: the bed sounds. */
  gone: object;
  /** The station is heard again. */
  back: object;
  /** The station that was joined is no more. */
  ended: { id: string };
  problem: Problem;
  stats: { transport: string; buffer_ms: number | null; network_ms: number | null };
  /** The browser wants a gesture: call `resume` in one. */
  silenced: { resume: () => void };
  /** What carries the live sound, for meters; of WebRTC it plays elsewhere. */
  node: AudioNode;
  /** The page is being closed: everything is still as it was. */
  leaving: object;
  /** The live channel is connected (anew). */
  open: object;
  sent: object;
}

export class Problem extends Error {
  status: number;
  retryAfter_s: number | null;
  readonly isPassing: boolean;
}

export class Refusal extends Error {
  /** As the server's errors, or "not_sent". */
  code: string;
  control: object;
}

export class Undersong {
  constructor(options?: {
    server?: string;
    token?: string | null;
    transport?: "auto" | "webrtc" | "websocket";
    profile?: "plain" | "robust" | null;
    buffer_ms?: number;
    pausesWhenHidden?: boolean;
    element?: HTMLAudioElement;
  });

  readonly phase: Phase;
  readonly station: Station | null;
  readonly status: Status | null;
  readonly context: AudioContext | null;
  readonly isOpen: boolean;
  readonly isWaiting: boolean;
  /** The frame that is heard now. */
  readonly frame: number | null;
  volume: number;

  on<Name extends keyof Events>(
    type: Name,
    listener: (event: Events[Name]) => void,
    options?: { ahead_s?: number },
  ): () => void;

  connect(opening?: Opening | (() => Promise<Station>), join?: Join | null): Promise<Station>;
  play(opening?: Opening | (() => Promise<Station>), join?: Join | null): Promise<void>;
  stop(): Promise<void>;
  leave(): void;
  fadeTo(volume: number, duration_ms: number): void;

  steer(set: MoodFields, where?: Where): Promise<Ack>;
  state(name: string, where?: Where): Promise<Ack>;
  parameter(name: string, value: number): Promise<Ack>;
  parameter(values: Record<string, number>): Promise<Ack>;
  hit(options?: { at?: At; strength?: number; id?: string }): Promise<Ack>;
  stinger(name: string, options?: { at?: At; id?: string }): Promise<Ack>;
  section(what: "next" | "stay" | "go" | "leave", options?: { to?: string; at?: At; id?: string }): Promise<Ack>;
  duck(gain_db: number, over?: Over): Promise<Ack>;
  cancel(target: string): Promise<Ack>;
  pause(): Promise<Ack>;
  resume(): Promise<Ack>;
  send(control: { type: string; [field: string]: unknown }): Promise<Ack>;

  timeOf(frame: number): number | null;
  heardAt(frame: number): number | null;
}

export {};
