/* A piece for a picture, as the Score page edits it. In: edits, timelines, what an analysis found; out: the next state,
   and the timeline that the server takes. Remembers nothing: a state is a plain value and never changes.

   A state: { duration, fps, sections, hits, cuts, speech, ending, lufs, ducks, seeds, chosen, others }. Sections are in
   order, the first begins at 0; `others` are fields of an imported timeline that this page does not edit. */

export const HOWS = ["cadence", "ring", "fade", "stop", "loop"];
export const LOUDNESS = [-14, -16, -23, null];
export const DRAWN_FIELDS = ["energy", "valence", "tension"];
export const DUCK_GAIN_DB = -12;
export const SHORTEST_S = 1;
const TRUE_PEAK_DB = -1;
const FIRST_MOOD = "healing";
const MOOD_FIELDS = [
  ...["mood", "prompt", "valence", "energy", "tension", "style", "bpm", "key"],
  ...["density", "brightness", "layers", "temperature", "novelty"],
];
const OTHERS = ["drop_frame", "start_timecode", "tempo_range"];
const NEUTRAL = { valence: 0, energy: 0.4, tension: 0.2 };

export const newSeed = () => Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);

export function newPiece(duration = 30) {
  const sections = [{ at: 0, mood: FIRST_MOOD }];
  const nothing = { hits: [], cuts: [], speech: [], others: {} };
  return {
    duration,
    fps: null,
    sections,
    ...nothing,
    ending: "cadence",
    lufs: -14,
    ducks: true,
    seeds: [newSeed()],
    chosen: 0,
  };
}

const pick = (source, names) =>
  Object.fromEntries(names.filter((name) => source[name] != null).map((name) => [name, source[name]]));

const LISTS = ["sections", "hits"];
const placeName = (place) => JSON.stringify(Object.entries(place).sort());
const byPlace = (a, b) => a.at - b.at;

/** A timeline of the server's; where it says nothing, as a list of cuts says nothing of moods, `piece` stays. */
export function fromTimeline(timeline, piece) {
  const { cuts, speech, hits, seed } = timeline;
  return {
    ...piece,
    ...pick(timeline, ["duration", "fps", "ending"]),
    sections: sectionsOf(timeline) ?? piece.sections,
    hits: hits?.length ? hits.map((hit) => (typeof hit === "number" ? { at: hit, strength: 1 } : hit)) : piece.hits,
    cuts: cuts?.length ? cuts.map((cut) => (typeof cut === "number" ? { at: cut } : cut)) : piece.cuts,
    speech: speech?.length ? speech : piece.speech,
    lufs: timeline.loudness ? (timeline.loudness.lufs ?? LOUDNESS[0]) : piece.lufs,
    ducks: timeline.duck ? timeline.duck.under !== "nothing" : piece.ducks,
    ...(seed != null && { seeds: [seed], chosen: 0 }),
    others: pick(timeline, OTHERS),
  };
}

/** The sections of a timeline, the first with what it says of the whole; null where it says nothing of the music. */
function sectionsOf({ sections = [], ...timeline }) {
  const begins = sections.find(({ at }) => at === 0) ?? { at: 0 };
  const first = { ...pick(timeline, MOOD_FIELDS), ...begins };
  if (first.mood && first.prompt) delete first[begins.prompt ? "mood" : "prompt"];
  const isMusical = MOOD_FIELDS.some((name) => name in first);
  if (!isMusical && !sections.length) return null;
  if (!isMusical) first.mood = FIRST_MOOD;
  return [first, ...sections.filter(({ at }) => at > 0)].sort(byPlace);
}

/** What the server makes music of; `version` is one of the seeds. */
export function toTimeline(piece, version = piece.chosen) {
  const { duration, fps, sections, hits, cuts, speech, ending, lufs, ducks, seeds, others } = piece;
  const isInside = ({ at }) => at < duration;
  const timeline = { duration, ...others, seed: seeds[version], ending };
  if (fps != null) timeline.fps = fps;
  timeline.sections = sections.filter(isInside);
  timeline.hits = hits.filter(isInside);
  timeline.cuts = cuts.filter(isInside);
  timeline.speech = speech;
  if (lufs !== null) timeline.loudness = { lufs, true_peak_db: TRUE_PEAK_DB };
  timeline.duck = ducks ? { under: "speech", gain_db: DUCK_GAIN_DB } : { under: "nothing" };
  return timeline;
}

/** What a picture says of itself; sections stay where they are, as far as the picture goes. Beside a picture's own sound
    there is no level of the stream's. */
export function withPicture(piece, { duration, fps, cuts, speech }) {
  const isInside = ({ at }) => at < duration;
  const [sections, hits] = [piece.sections.filter(isInside), piece.hits.filter(isInside)];
  return { ...piece, duration, fps, cuts, speech, sections, hits, lufs: piece.lufs ?? LOUDNESS[0] };
}

/** As long as one of `clips`, the server's presets, and formed like it; their own places are for a piece that has no
    others but its beginning. */
export function asClip(piece, duration, clips) {
  const known = new Set(clips.flatMap(({ timeline }) => LISTS.flatMap((list) => timeline[list] ?? [])).map(placeName));
  const [sections, hits] = LISTS.map((list) => piece[list].filter((each) => !known.has(placeName(each))));
  const { timeline } = clips.find((clip) => clip.timeline.duration === duration) ?? { timeline: { duration } };
  const isPlain = sections.length === 1 && !hits.length;
  return {
    ...piece,
    ...pick(timeline, ["duration", "ending"]),
    lufs: timeline.loudness?.lufs ?? piece.lufs,
    sections: isPlain ? [...sections, ...(timeline.sections ?? [])] : sections,
    hits: isPlain ? (timeline.hits ?? []) : hits,
  };
}

/** The length of a frame of the picture in seconds, or a hundredth where there is no picture. */
export function frameOf({ fps }) {
  const [frames, seconds = 1] = String(fps ?? 100)
    .split("/")
    .map(Number);
  return seconds / frames;
}

/** The nearest whole frame that still lies in the piece. */
export function onFrame(piece, at) {
  const frame = frameOf(piece);
  const last = Math.ceil(piece.duration / frame - 1e-6) - 1;
  return Number((Math.min(last, Math.max(0, Math.round(at / frame))) * frame).toFixed(6));
}

/** `list` is "sections" or "hits"; the one that was moved is where `at` says, in its place among the others. */
export function moved(piece, list, index, at) {
  const taken = piece[list].some((other, each) => each !== index && other.at === at);
  if (taken || (list === "sections" && (index === 0 || at <= 0))) return piece;
  return {
    ...piece,
    [list]: piece[list].map((each, other) => (other === index ? { ...each, at } : each)).sort(byPlace),
  };
}

export function added(piece, list, item) {
  if (piece[list].some(({ at }) => at === item.at)) return piece;
  return { ...piece, [list]: [...piece[list], item].sort(byPlace) };
}

export function removed(piece, list, index) {
  if (list === "sections" && index === 0) return piece;
  return { ...piece, [list]: piece[list].filter((_, other) => other !== index) };
}

/** Fields of one section or hit; undefined takes a field away. */
export function changed(piece, list, index, fields) {
  const change = (each) =>
    Object.fromEntries(Object.entries({ ...each, ...fields }).filter(([, value]) => value !== undefined));
  return { ...piece, [list]: piece[list].map((each, other) => (other === index ? change(each) : each)) };
}

/** The values of each section in full, [{ valence, energy, tension }]; `meaning(section)`: of its mood or prompt. */
export function valuesOf(piece, meaning) {
  let before = NEUTRAL;
  return piece.sections.map(
    (section) =>
      (before = { ...before, ...pick(meaning(section) ?? {}, DRAWN_FIELDS), ...pick(section, DRAWN_FIELDS) }),
  );
}

/** Seconds that a change takes where they are known before it is composed. */
export const overOf = ({ over }) => (typeof over === "number" ? over : 0);
