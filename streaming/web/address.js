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

// --- the overlay --------------------------------------------------------------------------------------------------

const AUDIOS = ["auto", "webrtc", "websocket", "none"];
const THEMES = ["dark", "light", "glass", "plain", "contrast"];
const PLACES = ["top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"];
export const PARTS = ["card", "beat", "spectrum", "vote", "badge"];
const LANGUAGES = ["en", "zh"];
const SIZES = [0.4, 4];
const LONGEST_DELAY_MS = 20_000;

/** The station whose page this is: the path's end. */
export const nameInPath = ({ pathname }) => decodeURIComponent(pathname.split("/").filter(Boolean).at(-1) ?? "");

/** What an overlay's address asks for; what cannot be is left as if it were not there. */
export function readOverlay(location) {
  const query = new URLSearchParams(location.search);
  const oneOf = (name, names, usual) => (names.includes(query.get(name)) ? query.get(name) : usual);
  const within = (name, low, high, usual) => {
    const value = Number.parseFloat(query.get(name));
    return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : usual;
  };
  const text = (name, allowed) => (allowed.test(query.get(name) ?? "") ? query.get(name) : "");
  const accent = text("accent", /^#?(?:[\da-f]{3}|[\da-f]{6})$/i);
  const parts = (query.get("show") ?? PARTS.join()).split(",").filter((name) => PARTS.includes(name));
  return {
    station: nameInPath(location),
    token: query.get("token") ?? "",
    mood: query.get("mood") ?? "",
    language: oneOf("lang", LANGUAGES, ""),
    audio: oneOf("audio", AUDIOS, "auto"),
    volume: within("volume", 0, 100, 100) / 100,
    delay_ms: within("delay", 0, LONGEST_DELAY_MS, 0),
    theme: oneOf("theme", THEMES, "dark"),
    accent: accent && `#${accent.replace("#", "")}`,
    place: oneOf("position", PLACES, "bottom-left"),
    size: within("size", ...SIZES, 1),
    font: text("font", /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u),
    parts,
  };
}
