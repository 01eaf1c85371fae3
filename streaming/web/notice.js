/* A line that is seen wherever the page is scrolled to. In: a word and its values; out: the line, until it is closed or
   no longer so. Remembers what it says, so that it can say it in the other language. */

import { t } from "./i18n.js";

export class Notice {
  key = null;
  #values = {};
  #timer = 0;

  constructor(element) {
    this.element = element;
    element.querySelector("button").addEventListener("click", () => this.say(null));
  }

  /** `brief_ms`: so long only. */
  say(key, values = {}, brief_ms = null) {
    clearTimeout(this.#timer);
    [this.key, this.#values] = [key, values];
    this.element.hidden = !key;
    this.element.querySelector("p").textContent = key ? t(key, values) : "";
    if (brief_ms) this.#timer = setTimeout(() => this.say(null), brief_ms);
  }

  translate() {
    if (this.key) this.say(this.key, this.#values);
  }
}
