/* A vote as it runs, and its outcome for a while. In: `vote` events; out: names, bars and counts in an element, never
   as HTML. Remembers only how long the outcome is still to be seen. */

import { make } from "./elements.js";
import { nameOf, t } from "./i18n.js";

const KEEP_OUTCOME_MS = 8000;
const TOPICS = { mood: "vote_mood", energy: "vote_energy", skip: "vote_skip" };

export class Ballot {
  #timer = 0;

  /** `root` has a .topic, a list and a .note; `words`: the moods by whose names options are called. */
  constructor(root, words) {
    this.root = root;
    this.words = words;
  }

  meet({ topic, options, quorum, outcome }) {
    clearTimeout(this.#timer);
    this.#say(".topic", t(TOPICS[topic] ?? "vote"));
    const rows = options.map((option) => this.#row(option, option.name === outcome));
    this.root.querySelector("ol").replaceChildren(...rows);
    const count = options.reduce((sum, { votes }) => sum + votes, 0);
    this.#say(".note", outcome === undefined ? t("votes", { count, quorum }) : this.#wordsOf(outcome));
    this.root.hidden = false;
    if (outcome !== undefined) this.#timer = setTimeout(() => (this.root.hidden = true), KEEP_OUTCOME_MS);
  }

  #wordsOf(outcome) {
    return outcome === null ? t("voteNone") : t("voteOver", { name: this.#nameOf(outcome) });
  }

  #nameOf(name) {
    return nameOf(this.words.moods.find((mood) => mood.name === name) ?? { name });
  }

  #row({ name, share, votes }, isChosen) {
    const fill = make("i");
    fill.style.setProperty("--share", share);
    return make(
      "li",
      { className: isChosen ? "chosen" : "" },
      make("bdi", { className: "name", textContent: this.#nameOf(name) }),
      make("span", { textContent: votes }),
      make("span", { className: "bar" }, fill),
    );
  }

  #say(selector, text) {
    this.root.querySelector(selector).textContent = text;
  }
}
