/* A vote as it runs, and its outcome for a while. In: `vote` events; out: names, bars and counts in an element, never
   as HTML. Remembers which vote is seen, for one begun beside it waits, and how long the outcome is still to be seen. */

import { make } from "./elements.js";
import { capital, nameOf, t } from "./i18n.js";

const KEEP_OUTCOME_MS = 8000;
const TOPICS = { mood: "vote_mood", energy: "vote_energy", skip: "vote_skip" };
const OPTIONS = { up: "vote_up", down: "vote_down", skip: "next_skip" };

export class Ballot {
  #timer = 0;
  #topic = null;

  /** `root` has a .topic, a list and a .note; `words`: the moods by whose names options are called. */
  constructor(root, words) {
    this.root = root;
    this.words = words;
  }

  meet({ topic, options, quorum, outcome }) {
    if (this.#topic !== null && this.#topic !== topic) return;
    this.#topic = outcome === undefined ? topic : null;
    clearTimeout(this.#timer);
    this.#say(".topic", t(TOPICS[topic] ?? "vote"));
    const rows = options.map((option) => this.#row(option, option.name === outcome));
    this.root.querySelector("ol").replaceChildren(...rows);
    const count = options.reduce((sum, { votes }) => sum + votes, 0);
    const told = count < quorum ? "votes" : "votesEnough";
    this.#say(".note", outcome === undefined ? t(told, { count, quorum }) : this.#wordsOf(outcome));
    this.root.hidden = false;
    this.#timer = outcome === undefined ? 0 : setTimeout(() => this.#leave(), KEEP_OUTCOME_MS);
  }

  /** A connection begins: what still runs is told at once, and what ran is not told to have ended. */
  forget() {
    this.#topic = null;
    if (!this.#timer) this.root.hidden = true;
  }

  #wordsOf(outcome) {
    return outcome === null ? t("voteNone") : t("voteOver", { name: this.#nameOf(outcome) });
  }

  #nameOf(name) {
    const mood = this.words.moods.find((each) => each.name === name);
    return mood ? nameOf(mood) : capital(OPTIONS[name] ? t(OPTIONS[name]) : name);
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

  #leave() {
    this.#timer = 0;
    this.root.hidden = true;
  }

  #say(selector, text) {
    this.root.querySelector(selector).textContent = text;
  }
}
