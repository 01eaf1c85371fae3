/* What an address asks for. In: a location; out: a station's id, or the fields of a mood, and the other way round.
   Remembers nothing. A question mark and a hash say the same: `?mood=epic`, `#prompt=rainy+night`. */

const NUMBERS = ["valence", "energy", "tension", "bpm", "density", "brightness", "seed"];
const TEXTS = ["mood", "prompt", "key"];

/** { station } or mood fields and a seed, as far as the address names them; null where it names none. */
export function readAddress({ search, hash }) {
  const named = new Map([...new URLSearchParams(search), ...new URLSearchParams(hash.slice(1))]);
  if (named.get("station")) return { station: named.get("station") };
  const asked = {};
  for (const name of TEXTS) if (named.get(name)) asked[name] = named.get(name);
  for (const name of NUMBERS) {
    const value = Number.parseFloat(named.get(name));
    if (Number.isFinite(value)) asked[name] = value;
  }
  if (named.get("style")) asked.style = readStyle(named.get("style"));
  return Object.keys(asked).length ? asked : null;
}

/** The query that `readAddress` reads again; layers have no place in it. */
export function writeAddress(asked) {
  const query = new URLSearchParams();
  for (const name of [...TEXTS, ...NUMBERS]) if (asked[name] != null) query.set(name, asked[name]);
  if (asked.style)
    query.set(
      "style",
      Object.entries(asked.style).map((pair) => pair.join("=")),
    );
  return query;
}

/** `lofi=0.7,jazz=0.3`, as on the command line. */
function readStyle(text) {
  const weights = text.split(",").map((part) => part.split("="));
  return Object.fromEntries(weights.map(([name, weight]) => [name.trim(), Number.parseFloat(weight ?? "1") || 0]));
}
