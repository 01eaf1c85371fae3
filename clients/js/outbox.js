/* Controls on their way. In: controls; out: the same, numbered, to a connection, in order; for each a promise of its
   ack. Remembers those that wait to be sent and those that have not been answered: what is a wish for good (`LASTING`)
   survives a lost connection, anything else belongs to its moment. */

import { BASE_FIELDS, merged } from "./fields.js";

const SEND_EVERY_MS = 40;
const LASTING = ["steer", "parameter", "state", "transport"];
/** Of wishes in wait for a connection: a page may ask all night. */
const MOST_WAITING = 64;

/** A control that changed nothing: `code` and the words are the server's, or "not_sent" where it did not go out. */
export class Refusal extends Error {
  constructor(control, code, detail) {
    super(detail);
    this.name = "Refusal";
    this.control = control;
    this.code = code;
  }
}

/** Whether two such controls in a row say no more than one. */
const isPlain = ({ type, set, ...others }) =>
  (type === "steer" || type === "parameter") && Object.keys(others).length === 0;

/** One control for two; a preset or prompt overtakes what was set before it. */
function joined({ type, set }, { set: more }) {
  const isNewBase = type === "steer" && ("mood" in more || "prompt" in more);
  const overtaken = isNewBase ? ["mood", "prompt", ...BASE_FIELDS] : [];
  const kept = Object.fromEntries(Object.entries(set).filter(([name]) => !overtaken.includes(name)));
  return { type, set: merged(kept, more) };
}

/** A control and who waits for its answer. */
class Entry {
  constructor(control) {
    this.control = control;
    this.answer = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.answer.catch(() => {}); // not everybody asks how it went
  }
}

export class Outbox {
  #waiting = [];
  #unanswered = new Map();
  #timer = 0;
  #count = 0;
  #prefix = Math.random().toString(36).slice(2, 8);

  /** `send(control)` answers whether there was a connection; `onSent(control)` is told of each that went out. */
  constructor(send, onSent = () => {}) {
    this.send = send;
    this.onSent = onSent;
  }

  /** True while something waits for a connection. */
  get isWaiting() {
    return this.#waiting.length > 0;
  }

  /** Forget everything: the station is no more. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const entries = [...this.#waiting, ...this.#unanswered.values()];
    this.#waiting = [];
    this.#unanswered.clear();
    for (const { control, reject } of entries) reject(new Refusal(control, "not_sent", "the station has been left"));
  }

  /** Send a control; the promise resolves to its ack and rejects with a `Refusal`. Plain steers and parameters go out
      every SEND_EVERY_MS at most, together with what is set until then. */
  ask(control) {
    const entry = new Entry(control);
    if (!LASTING.includes(control.type)) {
      this.#flush();
      if (!this.#post(entry)) entry.reject(new Refusal(control, "not_sent", `${control.type}: there is no connection`));
      return entry.answer;
    }
    const { answer } = this.#queue(entry);
    if (!this.#timer || !isPlain(control)) this.#flush();
    return answer;
  }

  /** A new connection: lasting wishes that were never answered are asked again, before those that wait. */
  opened() {
    const [unanswered, waiting] = [[...this.#unanswered.values()], this.#waiting];
    this.#unanswered.clear();
    this.#waiting = [];
    for (const entry of [...unanswered, ...waiting]) {
      const { id, ...control } = entry.control;
      entry.control = control;
      if (LASTING.includes(control.type)) this.#queue(entry);
      else entry.reject(new Refusal(control, "not_sent", `${control.type}: the connection was lost before an answer`));
    }
    this.#flush();
  }

  /** An ack or error has come: answers the control that it belongs to, or null where it is not ours. */
  answered(answer) {
    const entry = this.#unanswered.get(answer.id);
    if (!entry) return null;
    this.#unanswered.delete(answer.id);
    if (answer.type === "ack") entry.resolve(answer);
    else entry.reject(new Refusal(entry.control, answer.code, answer.detail));
    return entry.control;
  }

  /** Answers the entry that carries what was asked. */
  #queue(entry) {
    const last = this.#waiting.at(-1);
    if (!last || last.control.type !== entry.control.type || !isPlain(last.control) || !isPlain(entry.control)) {
      this.#waiting.push(entry);
      if (this.#waiting.length > MOST_WAITING) {
        const { control, reject } = this.#waiting.shift();
        reject(new Refusal(control, "not_sent", `${control.type}: later ones have taken its place`));
      }
      return entry;
    }
    last.control = joined(last.control, entry.control);
    last.answer.then(entry.resolve, entry.reject);
    return last;
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.isWaiting || !this.#post(this.#waiting[0])) return; // a new connection sends what waits
    do this.#waiting.shift();
    while (this.isWaiting && this.#post(this.#waiting[0]));
    this.#timer = setTimeout(() => this.#flush(), SEND_EVERY_MS);
  }

  #post(entry) {
    const numbered = { id: `${this.#prefix}-${++this.#count}`, ...entry.control };
    if (!this.send(numbered)) return false;
    entry.control = numbered;
    this.#unanswered.set(numbered.id, entry);
    this.onSent(numbered);
    return true;
  }
}
