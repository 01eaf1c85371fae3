/* The least of the last so many numbers. In: numbers; out: one, or null. Remembers them. */

export class Least {
  #numbers = [];

  constructor(count) {
    this.count = count;
  }

  clear() {
    this.#numbers = [];
  }

  add(number) {
    this.#numbers.push(number);
    if (this.#numbers.length > this.count) this.#numbers.shift();
  }

  get value() {
    return this.#numbers.length ? Math.min(...this.#numbers) : null;
  }
}
