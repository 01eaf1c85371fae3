/* What the listener has asked for. In: presets, prompts and single fields; out: the opening of a station and the values
   to show. Remembers a base (a preset or a prompt) and the fields set over it. */

export const BASE_FIELDS = ["valence", "energy", "tension", "style"];
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

/** Later fields win; the layers of both are kept. */
export function merged(fields, more) {
  const layers = { ...fields.layers, ...more.layers };
  return { ...fields, ...more, ...(Object.keys(layers).length ? { layers } : {}) };
}

export class Wishes {
  /** The preset whose fields stand untouched, or null. */
  mood = null;
  #base = {};
  #resolved = NEUTRAL;
  #overrides = {};

  choose(mood) {
    this.#rebase({ mood: mood.name }, mood);
    this.mood = mood;
  }

  /** A free text; what it means comes later, by `resolve`. */
  describe(prompt) {
    this.#rebase({ prompt }, this.values);
    this.mood = null;
  }

  /** Take over a station's fields as they are, as when joining it. */
  adopt(fields) {
    this.#overrides = {};
    this.#rebase({}, fields);
    this.dropPrompt();
    this.mood = null;
  }

  /** Ask for the values shown in place of a preset or a (refused) prompt. */
  dropPrompt() {
    this.#base = Object.fromEntries(BASE_FIELDS.map((name) => [name, this.#resolved[name]]));
  }

  /** The free text that is the base, or undefined. */
  get prompt() {
    return this.#base.prompt;
  }

  /** Show these as what the base means, without asking for them. */
  resolve(fields) {
    const known = Object.entries(fields).filter(([name, value]) => BASE_FIELDS.includes(name) && value != null);
    this.#resolved = { ...this.#resolved, ...Object.fromEntries(known) };
  }

  set(fields) {
    this.#overrides = merged(this.#overrides, fields);
    if (BASE_FIELDS.some((name) => name in fields)) this.mood = null;
  }

  get values() {
    return merged({ ...this.#resolved, layers: {} }, this.#overrides);
  }

  /** The body of POST /v1/stations. */
  get opening() {
    return { ...this.#base, ...this.#overrides };
  }

  /** A new base replaces what a mood is made of; tempo, key and the like stay as set. */
  #rebase(base, resolved) {
    this.#base = base;
    for (const name of BASE_FIELDS) delete this.#overrides[name];
    this.#resolved = NEUTRAL;
    this.resolve(resolved);
  }
}
