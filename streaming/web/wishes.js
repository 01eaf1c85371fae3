/* What the listener has asked for. In: presets, prompts and single fields; out: the opening of a station and the values
   to show. Remembers a base (a preset, a prompt that was understood, or a point), the fields set over it, the seed, and
   the prompt that has not been answered yet: it changes nothing before it is. */

import { BASE_FIELDS, merged } from "../client/fields.js";

const NEUTRAL = {
  valence: 0,
  energy: 0.4,
  tension: 0.2,
  style: { lofi: 1 },
  bpm: null,
  key: null,
  brightness: null,
  density: null,
};

/** What the words of a prompt may name besides a place in mood space; it stays set as if given as a field. */
const NAMED_FIELDS = ["key", "layers"];

const isBase = (name) => BASE_FIELDS.includes(name);

const without = (fields, isUnwanted) =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !isUnwanted(name)));

export class Wishes {
  /** The preset whose fields stand untouched, or null. */
  mood = null;
  /** How the prompt was understood whose fields stand untouched (as the server puts it), or null. */
  reading = null;
  /** Null: each station draws one. */
  seed = null;
  #base = {};
  #resolved = NEUTRAL;
  #overrides = {};
  #question = null;

  choose(mood) {
    this.#rebase({ mood: mood.name }, mood);
    this.mood = mood;
  }

  /** A free text; what it means comes later, by `answer`. */
  ask(prompt) {
    this.#question = { prompt, set: {} };
  }

  /** The prompt that waits for its answer, or null. */
  get question() {
    return this.#question?.prompt ?? null;
  }

  /** How a prompt was understood. False where another wish has overtaken it, and nothing changes then. */
  answer(understood) {
    if (!this.#question || understood.prompt !== this.question) return false;
    const { prompt, set } = this.#question;
    this.#question = null;
    if (understood.understood === false) return true;
    const isPlace = Object.keys(understood.mood).length > 0;
    const names = isPlace ? NAMED_FIELDS : [...NAMED_FIELDS, "bpm"]; // the tempo of a mood is no field that was set
    const named = Object.fromEntries(Object.entries(understood).filter(([name]) => names.includes(name)));
    if (isPlace) this.#rebase({ prompt }, understood);
    this.#overrides = merged(merged(this.#overrides, named), set);
    if (isPlace && !Object.keys(set).some(isBase)) this.reading = understood;
    return true;
  }

  /** The prompt was refused. */
  withdraw() {
    this.#question = null;
  }

  /** Take over a station's fields as they are, as when joining it. */
  adopt(fields) {
    this.#overrides = {};
    this.#rebase(Object.fromEntries(BASE_FIELDS.map((name) => [name, fields[name]])), fields);
  }

  set(fields) {
    this.#overrides = merged(this.#overrides, fields);
    if (this.#question) this.#question.set = merged(this.#question.set, fields);
    if (Object.keys(fields).some(isBase)) this.mood = this.reading = null;
  }

  get values() {
    return merged({ ...this.#resolved, layers: {} }, this.#overrides);
  }

  /** The body of POST /v1/stations. */
  get opening() {
    return this.seed === null ? this.fields : { ...this.fields, seed: this.seed };
  }

  /** The mood fields that were asked. */
  get fields() {
    if (!this.#question) return { ...this.#base, ...this.#overrides };
    const { prompt, set } = this.#question;
    return { prompt, ...merged(without(this.#overrides, isBase), set) };
  }

  /** All of it as plain JSON, for `restore`. */
  get saved() {
    const [base, resolved, overrides] = [this.#base, this.#resolved, this.#overrides];
    return { base, resolved, overrides, mood: this.mood?.name, reading: this.reading };
  }

  /** Go back to what was `saved`; answers the fields that steer there from here. */
  goBack(saved, moods) {
    const left = this.#overrides;
    this.restore(saved, moods);
    const { layers = {}, ...others } = left;
    const given = Object.keys(others).filter((name) => !isBase(name) && !(name in this.#overrides));
    const loosened = Object.fromEntries(given.map((name) => [name, null]));
    const level = Object.fromEntries(Object.keys(layers).map((layer) => [layer, 0]));
    return merged(merged(loosened, Object.keys(level).length ? { layers: level } : {}), this.fields);
  }

  restore({ base, resolved, overrides, mood, reading }, moods) {
    [this.#base, this.#resolved, this.#overrides, this.#question] = [base, resolved, overrides, null];
    this.mood = moods.find(({ name }) => name === mood) ?? null;
    this.reading = reading;
  }

  /** A new base replaces what a mood is made of; tempo, key and the like stay as set. */
  #rebase(base, resolved) {
    const known = Object.entries(resolved).filter(([name, value]) => isBase(name) && value != null);
    this.#base = base;
    this.#resolved = { ...NEUTRAL, ...Object.fromEntries(known) };
    this.#overrides = without(this.#overrides, isBase);
    this.#question = this.mood = this.reading = null;
  }
}
