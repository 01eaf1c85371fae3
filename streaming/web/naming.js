/* What to call a place in mood space. In: presets, styles, a point; out: words in the page's language.
   A preset's name stands for all that the preset is, its styles too; any other place is described. Remembers nothing. */

import { capital, keyName, nameOf, t } from "./i18n.js";

const SAME = 0.02;
const HEARD_SHARE = 0.2;
const MOST_STYLES = 2;

/** Gallery headings and what is under them; every preset once. */
const GROUPS = {
  calm: ["healing", "relax", "sleep", "meditation", "dream", "nature"],
  daily: ["focus", "morning", "cafe", "food", "travel", "city", "drive"],
  wistful: ["romance", "wedding", "nostalgia", "rain", "night", "sad", "lonely"],
  joyful: ["happy", "comedy", "kids", "party", "festival", "victory"],
  powerful: ["epic", "sport", "battle", "boss", "inspiring"],
  tense: ["suspense", "horror", "chase", "anger", "cyberpunk"],
  worlds: ["exploration", "space", "game", "ancient"],
  work: ["tech", "news", "business", "fashion"],
};

/** The presets in groups, [{group, moods}]; one that has no group yet comes under "others". */
export function grouped(moods) {
  const groupOf = ({ name }) => Object.keys(GROUPS).find((group) => GROUPS[group].includes(name)) ?? "others";
  const groups = [...Object.keys(GROUPS), "others"].map((group) => ({
    group,
    moods: moods.filter((mood) => groupOf(mood) === group),
  }));
  return groups.filter((group) => group.moods.length > 0);
}

/** Distance on the pad as seen: both axes from 0 to 1. */
export const padDistance = (a, b) => Math.hypot((a.valence - b.valence) / 2, a.energy - b.energy);

/** The preset whose star is nearest on the pad, as {mood, distance}. */
export function nearestStar(moods, point) {
  const ranked = moods.map((mood) => ({ mood, distance: padDistance(mood, point) }));
  return ranked.sort((a, b) => a.distance - b.distance)[0] ?? null;
}

function styleDistance(a, b) {
  const share = (style, name) => (style[name] ?? 0) / (Object.values(style).reduce((sum, w) => sum + w, 0) || 1);
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].reduce((sum, name) => sum + Math.abs(share(a, name) - share(b, name)), 0);
}

/** The preset that is meant by these fields in full, or null. */
export function presetAt(moods, fields) {
  const isSame = (mood) =>
    padDistance(mood, fields) < SAME &&
    Math.abs(mood.tension - fields.tension) < SAME &&
    styleDistance(mood.style, fields.style) < 5 * SAME;
  return moods.find(isSame) ?? null;
}

/** "Rather bright, driving lofi & jazz". */
export function describe(fields, styles) {
  const step = (value, bounds) => bounds.filter((bound) => value >= bound).length;
  const feeling = ["dark", "ratherDark", null, "ratherBright", "bright"][step(fields.valence, [-0.6, -0.2, 0.2, 0.6])];
  const drive = ["still", "calm", "moderate", "lively", "driving"][step(fields.energy, [0.12, 0.32, 0.5, 0.78])];
  const how = [feeling, drive].filter(Boolean).map((key) => t(key));
  return capital(t("described", { how: how.join(t("comma")), styles: styleWords(fields.style, styles) }));
}

/** The heaviest styles by name: "lofi & jazz". */
export function styleWords(weights, styles) {
  const sum = Object.values(weights).reduce((total, weight) => total + weight, 0) || 1;
  const heard = Object.entries(weights)
    .sort(([, a], [, b]) => b - a)
    .filter(([, weight], index) => index === 0 || weight / sum >= HEARD_SHARE)
    .slice(0, MOST_STYLES);
  const names = heard.map(([name]) => nameOf(styles.find((style) => style.name === name) ?? { name }).toLowerCase());
  return names.join(t("and"));
}

/** What sounds, by its preset's name or described. */
export function nameOfPoint(fields, moods, styles) {
  const preset = presetAt(moods, fields);
  return preset ? nameOf(preset) : describe(fields, styles);
}

/** False where a prompt's words name no mood: tempo, key or layers alone. */
export const leadsSomewhere = (reading) => Object.keys(reading.mood).length > 0;

/** "Heard as Sad · Jazz · 90 bpm · without Drums (changed nothing: …)". */
export function wordsOfReading(reading, moods, styles) {
  const { style = {}, bpm, key, layers = {}, instruments = {}, seconds, unknown } = reading;
  const inOrOut = ([layer, gain]) => t(gain === "mute" ? "withoutLayer" : "withLayer", { layer: t(layer) });
  const parts = [
    leadsSomewhere(reading) && nameOfReading(reading, moods),
    ...Object.keys(style).map((name) => nameOf(styles.find((each) => each.name === name) ?? { name })),
    ...Object.keys(instruments),
    ...Object.entries(layers).map(inOrOut),
    bpm && t("bpmValue", { bpm: Math.round(bpm) }),
    key && keyName(key),
    seconds && t("overSeconds", { s: seconds }),
  ];
  const heard = t("understood", { what: parts.filter(Boolean).join(" · ") });
  return unknown.length ? `${heard} ${t("unknown", { words: unknown.join(", ") })}` : heard;
}

/** How a prompt was read: "Epic, towards Battle". */
export function nameOfReading(reading, moods) {
  const known = Object.entries(reading.mood)
    .sort(([, a], [, b]) => b - a)
    .map(([name, weight]) => ({ mood: moods.find((mood) => mood.name === name) ?? { name }, weight }));
  const [first, second] = known;
  if (!second || second.weight < HEARD_SHARE) return nameOf(first.mood);
  return t("towards", { a: nameOf(first.mood), b: nameOf(second.mood) });
}
