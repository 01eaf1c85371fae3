/* Mood fields. In: fields; out: fields. Remembers nothing. */

/** What a preset or a prompt is made of: a later one replaces them. */
export const BASE_FIELDS = ["valence", "energy", "tension", "style"];

/** Later fields win; the layers of both are kept. */
export function merged(fields, more) {
  const layers = { ...fields.layers, ...more.layers };
  return { ...fields, ...more, ...(Object.keys(layers).length ? { layers } : {}) };
}
