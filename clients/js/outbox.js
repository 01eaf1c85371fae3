/* Controls on their way. In: fields to steer and other controls; out: numbered controls to a connection, in order.
   Remembers the fields that wait to be sent and every control that has not been answered: a steer survives a lost
   connection, anything else belongs to its moment. */

import { BASE_FIELDS, merged } from "./fields.js";

const STEER_EVERY_MS = 40;

export class Outbox {
  #unsent = {};
  #unanswered = new Map();
  #timer = 0;
  #count = 0;

  /** `send(control)` answers whether there was a connection; `onSent(control)` is told of each that went out. */
  constructor(send, onSent) {
    this.send = send;
    this.onSent = onSent;
  }

  /** True while a steer waits for a connection. */
  get isWaiting() {
    return Object.keys(this.#unsent).length > 0;
  }

  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#unsent = {};
    this.#unanswered.clear();
  }

  /** Send these fields soon, together with what else is set until then. A preset or prompt overtakes what waits. */
  steer(fields) {
    this.#gather(fields);
    if (!this.#timer) this.#flush();
  }

  /** Send one control now; false where there is no connection, and it is forgotten. */
  command(control) {
    const numbered = { ...control, id: `c${++this.#count}` };
    if (!this.send(numbered)) return false;
    this.#unanswered.set(numbered.id, numbered);
    this.onSent(numbered);
    return true;
  }

  /** A new connection: steers that were never answered are asked again, before those that wait. */
  opened() {
    const asked = [...this.#unanswered.values()].filter(({ type }) => type === "steer");
    this.#unanswered.clear();
    const waiting = this.#unsent;
    this.#unsent = {};
    for (const fields of [...asked.map((control) => control.set), waiting]) this.#gather(fields);
    this.#flush();
  }

  /** The control that an ack or error belongs to, or null where it is not ours. */
  answered(id) {
    const control = this.#unanswered.get(id) ?? null;
    this.#unanswered.delete(id);
    return control;
  }

  #gather(fields) {
    if ("mood" in fields || "prompt" in fields) {
      for (const name of ["mood", "prompt", ...BASE_FIELDS]) delete this.#unsent[name];
    }
    this.#unsent = merged(this.#unsent, fields);
  }

  /** At most one steer every STEER_EVERY_MS. */
  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.isWaiting || !this.command({ type: "steer", set: this.#unsent })) return;
    this.#unsent = {};
    this.#timer = setTimeout(() => this.#flush(), STEER_EVERY_MS);
  }
}
