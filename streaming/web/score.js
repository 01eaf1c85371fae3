/* The Score page: wires the parts together. In: hands, a picture, what the server makes; out: music at the play head,
   and files. Remembers the piece and its steps, the tracks that were composed lately, and what prompts mean. */

import { Output } from "../client/output.js";
import { Problem } from "../client/server.js";
import { Deck } from "./deck.js";
import { fill, make, saveText } from "./elements.js";
import { server } from "./home.js";
import { currentLanguage, nameOf, switchLanguage, t, translatePage } from "./i18n.js";
import { Inspector } from "./inspector.js";
import { leadsSomewhere, nameOfReading } from "./naming.js";
import { Notice } from "./notice.js";
import { Picture } from "./picture.js";
import {
  DUCK_GAIN_DB,
  added,
  asClip,
  changed,
  frameOf,
  fromTimeline,
  moved,
  newPiece,
  newSeed,
  onFrame,
  removed,
  toTimeline,
  valuesOf,
  withPicture,
} from "./piece.js";
import { RenderList } from "./renderlist.js";
import { startRender } from "./renders.js";
import { Steps } from "./steps.js";
import { Strip, timeName } from "./strip.js";
import { applyTheme, switchTheme } from "./theme.js";
import { RATE, Track } from "./track.js";

const [KEY, WAVE_KEY] = ["score", "score-wave"];
const COMPOSE_AFTER_MS = 350;
const PLAN_AFTER_MS = 120;
const AGAIN_AFTER_MS = 2000;
const MOST_TRACKS = 6;
const MOST_KEPT_S = 1200;
const MOST_VERSIONS = 8;
const FADE_MS = 30;
const DUCK_ATTACK_S = 0.2;
const DUCK_RELEASE_S = 0.4;
const FORMATS = ["mp4", "wav", "flac", "mp3", "m4a", "opus", "ogg"];
const MARKERS = ["otio", "fcpxml", "xml", "edl", "csv", "json", "txt"];

const $ = (selector) => document.querySelector(selector);

let piece = newPiece();
let selected = { list: "sections", index: 0 };
let wave = [];
let plan = null;
let moods = [];
let styles = [];
let clips = [];
let asksPlan = 0;
let asksMusic = 0;
let lastFollowed_s = -1;
/** The track of the piece as it is now. */
let wanted = null;
/** It played before the play head was taken hold of. */
let resumes = false;
/** What went wrong while composing, or null. */
let problem = null;
/** By what they were asked for, the one heard last at the end. */
const tracks = new Map();
/** What prompts were understood as; null while that is asked. */
const meanings = new Map();

const steps = new Steps();
const notice = new Notice($("#notice"));
const output = new Output(new Audio());
const deck = new Deck(output, showDeck);
const renders = new RenderList($("#deliver .renders"));
const picture = new Picture($("#video"), output, {
  found: meetPicture,
  said: sayOfPicture,
  progress: showUpload,
  seen: show,
  problem: (found) => sayOfPicture("said", { detail: found.message }),
});
const inspector = new Inspector({
  change,
  place: move,
  remove,
  clip: (seconds) => edit(asClip(piece, seconds, clips), "clip"),
  piece: (fields) => edit({ ...piece, ...fields }, Object.keys(fields).join()),
});
const strip = new Strip($("#strip"), { scrub, select, move, level, remove, add });

window.undersong = { deck, picture, output, tracks };

// --- editing ------------------------------------------------------------------------------------------------------

/** The piece is another from now on; `kind` tells which changes are one step. */
function edit(next, kind) {
  if (next === piece) return;
  steps.mark(piece, kind);
  become(next);
}

function become(next) {
  piece = next;
  if (!piece[selected.list][selected.index]) selected = { list: "sections", index: 0 };
  keepHere(KEY, { piece, picture: picture.known });
  show();
  askPlan();
  askMusic();
}

/** For when the page is loaded again; a browser that has no room for it forgets. */
function keepHere(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    localStorage.removeItem(key);
  }
}

function goBack(earlier) {
  if (earlier) become(earlier);
}

function select(list, index) {
  selected = { list, index };
  show();
}

function change(list, index, fields) {
  edit(changed(piece, list, index, fields), `${list} ${index} ${Object.keys(fields)}`);
}

function level(index, value) {
  change("sections", index, { [$("#drawn").value]: value });
}

/** Answers the index that the moved one has now. */
function move(list, index, at) {
  const next = moved(piece, list, index, onFrame(piece, at));
  if (next === piece) return index;
  const item = next[list].find((each) => !piece[list].includes(each));
  selected = { list, index: next[list].indexOf(item) };
  edit(next, `move ${list}`);
  return selected.index;
}

function remove(list, index) {
  edit(removed(piece, list, index), `remove ${list} ${index}`);
}

/** A new section goes on as the music is there. */
function add(list, at) {
  const item = list === "hits" ? { at: onFrame(piece, at), strength: 1 } : { at: onFrame(piece, at) };
  if (list === "sections" && item.at <= 0) return;
  const next = added(piece, list, item);
  if (next === piece) return notice.say("isTaken", { at: timeName(item.at) });
  selected = { list, index: next[list].indexOf(item) };
  edit(next, `add ${list} ${item.at}`);
}

/** What a section's mood or prompt stands for, or null where it has none, or that is not known yet. */
function meaning({ mood, prompt }) {
  if (mood) return moods.find(({ name, zh, aliases }) => [name, zh, ...aliases].includes(mood.toLowerCase())) ?? null;
  if (!prompt) return null;
  if (!meanings.has(prompt)) explain(prompt);
  return meanings.get(prompt);
}

async function explain(prompt) {
  meanings.set(prompt, null);
  try {
    const answer = await server.request(`v1/moods/explain?${new URLSearchParams({ prompt })}`);
    meanings.set(prompt, await answer.json());
    show();
  } catch (found) {
    if (!(found instanceof Problem)) throw found;
    meanings.delete(prompt);
    notice.say("said", { detail: found.message });
  }
}

function nameOfSection(section) {
  const known = meaning(section);
  if (section.name) return section.name;
  if (section.mood) return known ? nameOf(known) : section.mood;
  if (section.prompt)
    return known?.understood && leadsSomewhere(known) ? nameOfReading(known, moods) : `“${section.prompt}”`;
  return t("goesOn");
}

// --- the picture --------------------------------------------------------------------------------------------------

function meetPicture(report) {
  keepWave(report.waveform ?? []);
  edit(withPicture(piece, report), "picture");
  if (!report.has_audio) notice.say("noSound");
}

function keepWave(found) {
  wave = found;
  keepHere(WAVE_KEY, wave);
}

/** Score a length without a picture. */
function forgetPicture() {
  picture.forget();
  keepWave([]);
  sayOfPicture(null);
  edit({ ...piece, fps: null, cuts: [], speech: [] }, "picture");
}

function sayOfPicture(key, values) {
  $("#picture-said").textContent = key ? t(key, values) : "";
  show();
}

function showUpload(share) {
  const bar = $("#uploading");
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
}

function takeFile(file) {
  if (!file) return;
  deck.pause();
  picture.take(file);
}

/** What a program of editors wrote; the picture's cuts and speech stay where it says none. */
async function importTimeline(file) {
  if (!file) return;
  const { duration } = piece;
  const query = new URLSearchParams({ format: file.name.split(".").at(-1).toLowerCase(), duration });
  if (piece.fps !== null) query.set("fps", 1 / frameOf(piece));
  const headers = { "Content-Type": "application/octet-stream" };
  try {
    const answer = await server.request(`v1/timelines?${query}`, { method: "POST", headers, body: file });
    const timeline = await answer.json();
    edit(fromTimeline(picture.known ? { ...timeline, duration, fps: piece.fps } : timeline, piece), "import");
    const notes = JSON.parse(answer.headers.get("Undersong-Notes") ?? "[]");
    if (notes.length) notice.say("said", { detail: notes.join("; ") });
  } catch (found) {
    if (!(found instanceof Problem)) throw found;
    notice.say("said", { detail: found.message });
  }
}

// --- music --------------------------------------------------------------------------------------------------------

function askPlan() {
  clearTimeout(asksPlan);
  asksPlan = setTimeout(async () => {
    const asked = piece;
    try {
      const found = await server.postJson("v1/timelines/plan", toTimeline(asked));
      if (asked !== piece) return;
      plan = found;
    } catch (found) {
      if (!(found instanceof Problem)) throw found;
      if (asked !== piece) return;
      plan = null;
    }
    show();
  }, PLAN_AFTER_MS);
}

/** The music of the piece as it is now: at hand, or composed as soon as the hands rest. */
function askMusic() {
  clearTimeout(asksMusic);
  const { loudness, duck, ...timeline } = toTimeline(piece); // of the file's level, not of the music
  const body = { timeline, formats: ["wav"] };
  const key = JSON.stringify(body);
  for (const [other, track] of tracks) if (other !== key && !track.isWhole) forget(other);
  if (tracks.has(key)) return hear(key);
  asksMusic = setTimeout(() => {
    const track = new Track(body, () => meetMusic(track));
    tracks.set(key, track);
    const room = Math.max(1, Math.min(MOST_TRACKS, Math.floor(MOST_KEPT_S / piece.duration)));
    for (const other of [...tracks.keys()].slice(0, -room)) forget(other);
    hear(key);
    load(key, track);
  }, COMPOSE_AFTER_MS);
}

async function load(key, track) {
  problem = null;
  try {
    await track.load();
  } catch (found) {
    if (!(found instanceof Problem)) throw found;
    if (tracks.get(key) !== track) return;
    tracks.delete(key);
    problem = found;
    if (found.isPassing) asksMusic = setTimeout(askMusic, 1000 * (found.retryAfter_s ?? AGAIN_AFTER_MS / 1000));
    showDeck();
  }
}

/** One that is heard sounds on until the next one is there. */
function forget(key) {
  tracks.get(key).drop();
  tracks.delete(key);
}

function hear(key) {
  const track = tracks.get(key);
  tracks.delete(key);
  tracks.set(key, track);
  wanted = track;
  if (track === deck.track) deck.refresh();
  deck.load(track);
  showDeck();
}

function meetMusic(track) {
  if (track !== wanted) return;
  deck.wake();
  showDeck();
}

/** How far the music gives way to speech, by frame; null where it does not. */
function duckCurve(first, length) {
  if (!piece.ducks || !$("#own-sound").checked || !piece.speech.length) return null;
  const [begin_s, end_s] = [first / RATE, (first + length) / RATE];
  const near = piece.speech.filter(([begin, end]) => begin - DUCK_ATTACK_S < end_s && end + DUCK_RELEASE_S > begin_s);
  if (!near.length) return null;
  const curve = new Float32Array(length);
  for (let index = 0; index < length; index++) {
    const at = (first + index) / RATE;
    let depth = 0;
    for (const [begin, end] of near) {
      const coming = 1 - (begin - at) / DUCK_ATTACK_S;
      const going = 1 - (at - end) / DUCK_RELEASE_S;
      depth = Math.max(depth, Math.min(1, coming, going));
    }
    curve[index] = 10 ** ((DUCK_GAIN_DB * depth) / 20);
  }
  return curve;
}

function toggle() {
  if (deck.isPlaying) return deck.pause();
  output.open();
  output.fadeTo(volume(), FADE_MS);
  picture.hear($("#own-sound").checked);
  if (!wanted) askMusic();
  deck.play();
}

function scrub(position_s, isOver) {
  if (deck.isPlaying && !isOver) {
    deck.pause();
    resumes = true;
  }
  deck.seek(Math.min(position_s, piece.duration));
  if (isOver && resumes) deck.play();
  if (isOver) resumes = false;
}

/** Another version is the same piece of another seed. */
function chooseVersion(chosen) {
  if (chosen !== piece.chosen) become({ ...piece, chosen });
}

function addVersion() {
  const seeds = [...piece.seeds, newSeed()];
  edit({ ...piece, seeds, chosen: seeds.length - 1 }, "version");
}

// --- keeping ------------------------------------------------------------------------------------------------------

async function keep(event) {
  event.preventDefault();
  const chosen = [...document.querySelectorAll("#formats input:checked")].map(({ value }) => value);
  const markers = [...document.querySelectorAll("#markers input:checked")].map(({ value }) => value);
  const formats = chosen.filter((each) => FORMATS.includes(each));
  if (!formats.length) return notice.say("noFormat");
  const asked = {
    timeline: toTimeline(piece),
    formats,
    markers,
    stems: chosen.includes("stems"),
    midi: chosen.includes("midi"),
  };
  if (picture.known) asked.video = picture.known.upload;
  await renders.begin(() => startRender(asked));
  if (picture.known && !(await picture.isKept())) sayOfPicture("pictureGone", { name: picture.known.name });
}

// --- showing ------------------------------------------------------------------------------------------------------

function show() {
  const values = valuesOf(piece, meaning);
  const names = piece.sections.map(nameOfSection);
  const field = $("#drawn").value;
  strip.snaps = $("#snap").checked;
  strip.show(piece, {
    field,
    values,
    names,
    wave,
    beats: plan?.beats,
    bars: plan?.bars,
    composed_s: composed_s(),
    selected,
  });
  inspector.show(piece, selected, values, meaning, picture.known !== null);
  $("#undo").disabled = !steps.canUndo;
  $("#redo").disabled = !steps.canRedo;
  $("#own-sound-row").hidden = $("#video").hidden;
  $("#unpick").hidden = picture.known === null;
  offerFilm(picture.known !== null);
  showVersions();
  showPlan();
  showDeck();
}

const composed_s = () => (wanted?.composed ?? 0) / RATE;

function showDeck() {
  document.body.dataset.state = deck.isWaiting ? "starting" : deck.isPlaying ? "playing" : "idle";
  $("#play").setAttribute("aria-label", t(deck.isPlaying ? "pause" : "play"));
  const share = wanted?.numFrames ? wanted.composed / wanted.numFrames : 0;
  const words = {
    problem: () => problem.message,
    composing: () => t("composing", { percent: Math.floor(100 * share) }),
    whole: () => t("composedAll"),
  };
  const state = problem ? "problem" : wanted?.isWhole ? "whole" : wanted ? "composing" : null;
  const text = state ? words[state]() : "";
  if ($("#composed").textContent !== text) $("#composed").textContent = text;
}

function showVersions() {
  const letters = piece.seeds.map((seed, index) => ({ letter: String.fromCharCode(65 + index), seed, index }));
  $("#versions").replaceChildren(
    ...letters.map(({ letter, seed, index }) => {
      const isOn = index === piece.chosen;
      const chip = make("button", { type: "button", textContent: letter, title: t("seedIs", { seed }) });
      chip.setAttribute("aria-pressed", isOn);
      chip.addEventListener("click", () => chooseVersion(index));
      return chip;
    }),
    make("button", {
      type: "button",
      id: "add-version",
      textContent: t("addVersion"),
      disabled: piece.seeds.length >= MOST_VERSIONS,
      onclick: addVersion,
    }),
  );
}

function showPlan() {
  const { asked, lowest, highest } = plan?.tempo ?? {};
  const range = lowest === undefined ? "" : [lowest, highest].map((bpm) => bpm.toFixed(1)).join(" … ");
  $("#tempo").textContent = asked === undefined ? "" : t("tempoPlan", { asked: asked.toFixed(1), range });
  const rows = (plan?.anchors ?? []).map(({ at, kind, error_ms }) => {
    const met = Math.abs(error_ms) < 1 ? t("onBeat") : t("offBeat", { ms: error_ms.toFixed(0) });
    return make("tr", {}, ...[timeName(at), t(`anchor_${kind}`), met].map((text) => make("td", { textContent: text })));
  });
  $("#plan tbody").replaceChildren(...rows);
  $("#plan").hidden = rows.length === 0;
}

function animate() {
  requestAnimationFrame(animate);
  const { position_s } = deck;
  picture.follow(position_s, deck.isPlaying && !deck.isWaiting);
  if (position_s === lastFollowed_s) return;
  lastFollowed_s = position_s;
  strip.showPosition(position_s);
  if (deck.isPlaying) strip.follow();
  $("#clock").textContent = `${timeName(position_s)} / ${timeName(piece.duration)}`;
}

// --- the page itself ----------------------------------------------------------------------------------------------

const volume = () => $("#volume").valueAsNumber ** 2;

function translate() {
  translatePage();
  $("#language").textContent = currentLanguage() === "en" ? "中文" : "English";
  $("#language").lang = currentLanguage() === "en" ? "zh" : "en";
  notice.translate();
  renders.translate();
  inspector.translate();
  lastFollowed_s = -1;
  if (moods.length) show();
}

function buildChoices() {
  const tick = (value, name, isOn = false) =>
    make("label", { className: "tick" }, make("input", { type: "checkbox", value, checked: isOn }), name);
  const stems = make("span", { dataset: { i18n: "stems" } });
  $("#formats").append(
    ...FORMATS.map((each) => tick(each, each.toUpperCase(), each === "wav")),
    tick("stems", stems),
    tick("midi", "MIDI"),
  );
  $("#markers").append(
    ...MARKERS.map((each) => tick(each, { xml: "FCP7 XML", txt: "Audacity" }[each] ?? each.toUpperCase())),
  );
}

/** A film needs a picture. */
function offerFilm(isThere) {
  const film = $("#formats [value=mp4]");
  if (film.parentElement.hidden === !isThere) return;
  film.parentElement.hidden = !isThere;
  film.checked = isThere;
}

function listen() {
  $("#play").addEventListener("click", toggle);
  $("#undo").addEventListener("click", () => goBack(steps.undo(piece)));
  $("#redo").addEventListener("click", () => goBack(steps.redo(piece)));
  $("#add-section").addEventListener("click", () => add("sections", deck.position_s));
  $("#add-hit").addEventListener("click", () => add("hits", deck.position_s));
  for (const id of ["#snap", "#drawn"]) $(id).addEventListener("change", show);
  $("#zoom").addEventListener("input", ({ target }) => {
    fill(target);
    strip.zoom = target.valueAsNumber;
  });
  $("#own-sound").addEventListener("change", ({ target }) => {
    picture.hear(target.checked);
    deck.refresh();
  });
  $("#volume").addEventListener("input", ({ target }) => {
    fill(target);
    localStorage.setItem("volume", target.value);
    output.fadeTo(volume(), FADE_MS);
  });
  $("#pick").addEventListener("click", () => $("#video-file").click());
  $("#unpick").addEventListener("click", forgetPicture);
  for (const [picker, take] of [
    ["#video-file", takeFile],
    ["#import-file", importTimeline],
  ]) {
    $(picker).addEventListener("change", ({ target }) => {
      const [file] = target.files;
      target.value = "";
      take(file);
    });
  }
  $("#import").addEventListener("click", () => $("#import-file").click());
  $("#export").addEventListener("click", () =>
    saveText("timeline.json", JSON.stringify(toTimeline(piece), null, 2), "application/json"),
  );
  $("#deliver form").addEventListener("submit", keep);
  $("#theme").addEventListener("click", () => {
    switchTheme();
    strip.draw();
  });
  $("#language").addEventListener("click", () => {
    switchLanguage();
    translate();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => strip.draw());
  document.addEventListener("keydown", press);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (!file) return;
    if (/\.(json|otio|fcpxml|xml|edl|csv|srt)$/i.test(file.name)) importTimeline(file);
    else takeFile(file);
  });
  deck.curve = duckCurve;
  window.addEventListener("pagehide", () => tracks.forEach((track) => track.drop()));
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
}

function press(event) {
  const isWriting = event.target.closest("input:not([type=range], [type=checkbox]), select");
  if (isWriting) return;
  const key = event.key.toLowerCase();
  if (key === "z" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    return goBack(event.shiftKey ? steps.redo(piece) : steps.undo(piece));
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === "s") add("sections", deck.position_s);
  if (key === "h") add("hits", deck.position_s);
  if (key !== " " || event.target.closest("button, summary, a, input")) return;
  event.preventDefault();
  if (!event.repeat) toggle();
}

/** Go on as the page was left; of the picture only what the server keeps is left. */
async function restore() {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(KEY));
  } catch {
    return; // cut off
  }
  if (!kept?.piece) return;
  piece = kept.piece;
  wave = JSON.parse(localStorage.getItem(WAVE_KEY)) ?? [];
  picture.known = kept.picture;
  if (!picture.known) return;
  const { name } = picture.known;
  sayOfPicture((await picture.isKept()) ? "pictureAgain" : "pictureGone", { name });
}

async function begin() {
  applyTheme();
  $("#volume").value = localStorage.getItem("volume") ?? $("#volume").value;
  document.querySelectorAll("input[type=range]").forEach(fill);
  listen();
  buildChoices();
  translate();
  for (let pause_ms = 500; !moods.length; pause_ms = Math.min(5000, pause_ms * 2)) {
    try {
      ({ moods, styles, clips } = await server.fetchMoods());
    } catch {
      notice.say("offline");
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
  }
  if (notice.key === "offline") notice.say(null);
  inspector.showCatalogue(moods, styles);
  await restore();
  show();
  askPlan();
  requestAnimationFrame(animate);
}

begin();
