/* Steps that can be taken back and again. In: what was so before each change; out: what is to be so.
   Remembers the last MOST_STEPS of them. */

const MOST_STEPS = 200;
const ONE_STEP_MS = 1000;

export class Steps {
  #before = [];
  #after = [];
  #kind = null;
  #marked_ms = -Infinity;

  /** Something is about to change from `state`; changes of one kind that follow each other closely are one step. */
  mark(state, kind) {
    const now_ms = performance.now();
    const goesOn = kind === this.#kind && now_ms - this.#marked_ms < ONE_STEP_MS && this.#after.length === 0;
    [this.#kind, this.#marked_ms] = [kind, now_ms];
    if (goesOn) return;
    this.#before.push(state);
    if (this.#before.length > MOST_STEPS) this.#before.shift();
    this.#after = [];
  }

  get canUndo() {
    return this.#before.length > 0;
  }

  get canRedo() {
    return this.#after.length > 0;
  }

  /** What was so before the last step, where `state` is so now; null where there is none. */
  undo(state) {
    return this.#move(this.#before, this.#after, state);
  }

  redo(state) {
    return this.#move(this.#after, this.#before, state);
  }

  #move(from, to, state) {
    if (!from.length) return null;
    to.push(state);
    this.#kind = null;
    return from.pop();
  }
}
