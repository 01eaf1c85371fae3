/* The studio page: wires the parts together. In: the listener's hands and the station's events; out: controls and what
   is seen. Remembers what was asked (`wishes`), what the page is doing (`mode`) and fields not sent yet. */

import { stationPath } from "../client/server.js";
import { Problem, Undersong } from "../client/undersong.js";
import { readAddress, writeAddress } from "./address.js";
import { Accent, colourOf } from "./colour.js";
import { Controls } from "./controls.js";
import { fill } from "./elements.js";
import { server } from "./home.js";
import { currentLanguage, keyName, nameOf, switchLanguage, t, translatePage } from "./i18n.js";
import { Keep } from "./keep.js";
import { Meters } from "./meters.js";
import { describe, leadsSomewhere, nameOfReading, presetAt, wordsOfReading } from "./naming.js";
import { Notice } from "./notice.js";
import { OwnMoods } from "./own.js";
import { Pad } from "./pad.js";
import { Readout } from "./readout.js";
import { Steps } from "./steps.js";
import { applyTheme, switchTheme } from "./theme.js";
import { Wishes } from "./wishes.js";

const DRAW_EVERY_MS = 30;
const FADE_MS = 120;
const RESUME_FADE_MS = 30;
const UNSENT_AFTER_MS = 700;
const BRIEF_MS = 4000;
const PROMPT_CHARACTERS = 14;
const FOLLOW_AFTER_MS = 400;
const FIRST_MOOD = "focus";
const COLOUR_FIELDS = ["valence", "energy", "brightness", "layers"];

const $ = (selector) => document.querySelector(selector);

let moods = [];
let styles = [];
let stingers = [];
/** How the prompt was understood of which the page tells, or null. */
let told = null;
let problem = null;
let followTimer = 0;
/** Why the station is silent although it is on: "paused", "silenced", or null. */
let hush = null;
let isWaking = false;
let adoptsHeading = false;
let lastDrawing_ms = 0;
/** The station to play next, { id, isOurs, isShared }, or null for a new one. */
let join = null;

const wishes = new Wishes();
const steps = new Steps();
const keep = new Keep($("#keep"));
const board = new Notice($("#notice"));
const notice = (key, values) => board.say(key, values, key === "shared" ? BRIEF_MS : null);
const music = new Undersong({ server: document.baseURI, element: $("#audio") });
const readout = new Readout((frame) => music.heardAt(frame));
const accent = new Accent(document.documentElement);
const meters = new Meters($("#spectrum"), $("#level"));
const controls = new Controls({ onSet: setFields, onPick: pickMood });
const own = new OwnMoods($("#own"), { onPick: askFor, asked: () => wishes.fields, title, onRefused: notice });
const pad = new Pad($("#pad"), { onMove: setFields, onPick: pickMood });
window.undersong = {
  get context() {
    return meters.analyser?.context ?? null;
  },
  get analyser() {
    return meters.analyser;
  },
  get sides() {
    return meters.sides;
  },
  get station() {
    return music.station;
  },
  get pc() {
    return music.player.pc;
  },
};

// --- asking -------------------------------------------------------------------------------------------------------

/** The listener has set some fields: show them at once, send them soon. */
function setFields(fields) {
  steps.mark(wishes.saved, Object.keys(fields).sort().join());
  wishes.set(fields);
  steer(fields);
}

function pickMood(mood) {
  steps.mark(wishes.saved, `mood ${mood.name}`);
  wishes.choose(mood);
  tellReading(null);
  steer({ mood: mood.name });
}

/** Nothing is shown as asked before the server says what it has understood. */
function askInWords(prompt) {
  steps.mark(wishes.saved, `prompt ${prompt}`);
  wishes.ask(prompt);
  tellReading(null);
  if (music.phase === "idle") play();
  else steer({ prompt });
}

/** Ask for all of these at once: a mood, a prompt or a point, and what is set over it. False: no such mood. */
function askFor({ seed = null, mood: name, prompt, ...fields }) {
  const mood = name && findMood(name);
  if (name && !mood) notice("unknownMood", { name });
  if (name && !mood) return false;
  steps.mark(wishes.saved, "all");
  if (seed !== null) wishes.seed = seed;
  if (mood) wishes.choose(mood);
  if (prompt) wishes.ask(prompt);
  const styled =
    fields.style && Object.entries(fields.style).filter(([name]) => styles.some((each) => each.name === name));
  if (styled) fields.style = Object.fromEntries(styled);
  wishes.set(fields);
  tellReading(null);
  if (prompt) $("#prompt").value = prompt;
  steer({ ...(mood && { mood: mood.name }), ...(prompt && { prompt }), ...fields });
  return true;
}

function findMood(name) {
  const wanted = name.trim().toLowerCase();
  return moods.find(({ name, zh, aliases }) => [name, zh, ...aliases].includes(wanted));
}

/** Take the last step back, or again. */
function goBack(saved) {
  if (!saved) return;
  const fields = wishes.goBack(saved, moods);
  tellReading(wishes.reading);
  steer(fields);
}

function steer(fields) {
  show();
  follow();
  if (music.phase === "idle") return;
  music.steer(fields);
  setTimeout(() => music.isWaiting && music.phase === "playing" && notice("unsent"), UNSENT_AFTER_MS);
}

/** Send what belongs to this moment; false, and a word about it, where there is no connection. */
function command(control) {
  if (music.isOpen) music.send(control);
  else notice("notSent", { what: labelOf(control) });
  return music.isOpen;
}

function kindOf({ type, set }) {
  if (type !== "steer") return type;
  const names = Object.keys(set);
  return names.every((name) => COLOUR_FIELDS.includes(name)) ? "colour" : names.sort().join();
}

/** What a control asks for, in a word or two. */
function labelOf({ type, set, name }) {
  const words = {
    hit: () => t("hit"),
    stinger: () => nameOf(stingers.find((stinger) => stinger.name === name)),
    duck: () => t("voice"),
    end: () => t("ending"),
    panic: () => t("panic"),
    transport: () => t("play"),
    steer: () => labelOfFields(set),
  };
  return words[type]();
}

/** What names a prompt in a line of its own, beside other words. */
const shortened = (text) => (text.length > PROMPT_CHARACTERS ? `${text.slice(0, PROMPT_CHARACTERS).trim()} …` : text);

function labelOfFields(fields) {
  const words = {
    mood: (name) => nameOf(moods.find((mood) => mood.name === name)),
    prompt: (text) => `“${shortened(text)}”`,
    style: (weights) => {
      const [name, ...others] = Object.keys(weights);
      return others.length ? t("style") : nameOf(styles.find((style) => style.name === name));
    },
    key: (key) => (key ? keyName(key) : `${t("key")}: ${t("auto")}`),
    bpm: (bpm) => (bpm ? t("bpmValue", { bpm }) : `${t("bpm")}: ${t("auto")}`),
  };
  const [name] = ["mood", "prompt", "style", "key", "bpm"].filter((each) => each in fields);
  if (name) return words[name](fields[name]);
  return "valence" in fields ? title() : t(Object.keys(fields)[0]);
}

/** What was asked for, by name: a preset, how a prompt was read, or the place itself. */
function title() {
  if (wishes.mood) return nameOf(wishes.mood);
  if (wishes.reading) return nameOfReading(wishes.reading, moods);
  return describe(wishes.values, styles);
}

// --- playing ------------------------------------------------------------------------------------------------------

function play() {
  if (hush && music.phase !== "idle") {
    if (command({ type: "transport", do: "play" })) meetMusic();
    return;
  }
  music.volume = volume();
  problem = null;
  hush = null;
  music.play(openStation, join).catch(() => {}); // what went wrong is told by `problem`
  follow();
}

function pause() {
  if (music.phase === "idle" || hush) return;
  if (command({ type: "transport", do: "pause" })) meetHush("paused");
}

/** A new station as asked. Nothing of a prompt understood: what the page showed before plays instead. */
async function openStation() {
  const station = await server.createStation(wishes.opening);
  if (station.understood?.understood !== false) return station;
  server.dismiss(stationPath(station.id));
  meetReading(station.understood);
  return server.createStation(wishes.opening);
}

async function stop(noticeAfter = null) {
  if (!hush && music.phase !== "idle") {
    music.fadeTo(0, FADE_MS);
    if (music.player.isOurs && !music.player.isShared) join = null;
    await keep.hold(readout.sounding?.position.seconds ?? 0);
    await music.stop();
  }
  notice(noticeAfter);
}

function panic() {
  if (music.phase === "idle" || hush === "silenced") return;
  const isSent = command({ type: "panic" });
  music.fadeTo(0, RESUME_FADE_MS);
  if (!isSent) return; // silent here, though the station plays on
  meetHush("silenced");
}

function meetHush(why) {
  hush = why;
  showState(music.phase);
}

function meetMusic() {
  hush = null;
  music.fadeTo(volume(), RESUME_FADE_MS);
  showState(music.phase);
}

/** Another seed is another piece: it begins at once where something plays that is ours alone. */
function setSeed(seed) {
  wishes.seed = seed;
  if (
    music.phase !== "idle" &&
    music.player.isOurs &&
    !music.player.isShared &&
    seed !== null &&
    seed !== music.station?.seed
  ) {
    beginAnew();
  }
  show();
  follow();
}

async function beginAnew() {
  join = null;
  await music.stop();
  play();
}

/** A stinger is chosen and played; the list shows its title again, so that the same one can be chosen once more. */
function playStinger(select) {
  const { value: name } = select;
  select.selectedIndex = 0;
  if (name) command({ type: "stinger", name, at: "beat" });
}

function makeRoomForVoice() {
  const voice = $("#voice").getAttribute("aria-pressed") !== "true";
  if (command({ type: "duck", voice })) $("#voice").setAttribute("aria-pressed", voice);
}

function meetProblem(found) {
  problem = found;
  if (!found.isPassing) wishes.withdraw();
}

function meetStation(station, how) {
  readout.reset();
  const { understood } = station;
  const isUntold = understood && how !== "joined" && !leadsSomewhere(understood); // the server has chosen the mood
  adoptsHeading = isUntold || (how === "joined" && !music.player.isOurs);
  if (how !== "joined") join = null;
  keep.offer(station);
  if (understood) meetReading(understood);
  if (how === "joined" && station.state === "paused") hush = "paused";
  isWaking = station.state === "asleep";
  meetStatus(station);
  if (how === "replaced") notice("newStation");
  show();
}

function meetConnection() {
  if (board.key === "unsent") notice(null);
}

function meetAck(ack) {
  readout.acknowledged(ack);
  if (ack.understood) meetReading(ack.understood);
}

function meetNews(status) {
  meetRest(status.health.gives_way);
  if (!hush && status.state === "paused" && (isWaking || readout.sounding?.state === "playing")) meetHush("paused");
  if (hush && status.state === "playing" && readout.sounding?.state === "paused") meetMusic();
  meetStatus(status);
  if (status.state !== "asleep") isWaking = false;
  if (status.state === "ended" && music.phase !== "idle") stop("ended");
}

/** An overloaded server lets the newest stations rest; they come back by themselves. */
function meetRest(isResting) {
  if (isResting === (readout.sounding?.health?.gives_way ?? false)) return;
  if (isResting) notice("resting");
  else if (board.key === "resting") notice(null);
}

/** The station's own words on what sounds and where it is going; a station just opened has none yet. */
function meetStatus(status) {
  if (status.mood?.valence === undefined) return;
  readout.sounding = status;
  if (adoptsHeading) adopt(status.heading);
  pad.showSounding(status.mood);
  controls.show(wishes.values, wishes.mood, status.mood);
  readout.showNow(moods, styles);
}

function adopt(heading) {
  const preset = presetAt(moods, heading);
  if (preset) wishes.choose(preset);
  else wishes.adopt(heading);
  adoptsHeading = false;
  show();
}

/** How a prompt was read, by the answer to it; one that another wish has overtaken says nothing any more. */
function meetReading(understood) {
  if (!wishes.answer(understood)) return;
  tellReading(understood);
  if (understood.understood !== false) show();
}

function tellReading(understood) {
  told = understood;
  $("#understood").textContent = understood ? wordsOf(understood) : "";
}

const wordsOf = (understood) =>
  understood.understood === false
    ? t("nothingUnderstood", { prompt: understood.prompt })
    : wordsOfReading(understood, moods, styles);

/** A control that was refused changed nothing: say so, and show what is so. */
function meetRefusal({ id, control, detail }) {
  readout.rejected(id);
  if (!control) return notice("said", { detail });
  notice("refused", { what: labelOf(control), detail });
  if (control.type === "duck") $("#voice").setAttribute("aria-pressed", !control.voice);
  if (control.type !== "steer") return;
  if (control.set.prompt === wishes.question) wishes.withdraw();
  else adoptsHeading = true;
}

function showStats(delays) {
  readout.measured(delays);
  readout.showLatency();
}

// --- showing ------------------------------------------------------------------------------------------------------

function show() {
  const values = wishes.values;
  const name = title();
  pad.show(values, name);
  accent.target = colourOf(values);
  $("#heading").textContent = moods.length ? name : "\u00a0";
  $("#asked").textContent = t(music.phase === "idle" ? "toPlay" : "asked");
  controls.show(values, wishes.mood, readout.sounding?.mood);
  own.show();
  showSeed();
  $("#undo").disabled = !steps.canUndo;
  $("#redo").disabled = !steps.canRedo;
  readout.showNow(moods, styles);
  readout.showLatency();
}

/** The seed of what plays, or the one that was set for what comes next. */
function showSeed() {
  const field = $("#seed");
  const isDrawn = wishes.seed === null;
  if (document.activeElement !== field) field.value = (isDrawn ? music.station?.seed : wishes.seed) ?? "";
  $("#seed-auto").setAttribute("aria-pressed", isDrawn);
}

function showState(state) {
  const isOn = state !== "idle" && !hush;
  document.body.dataset.state = hush && state !== "idle" ? "silenced" : state;
  $("#play").setAttribute("aria-label", t(isOn ? "stop" : "play"));
  for (const id of ["#end", "#panic", "#hit", "#stinger", "#voice", "#pause"]) $(id).disabled = !isOn;
  if (state === "playing") problem = null;
  if (state === "idle") {
    keep.withdraw();
    $("#voice").setAttribute("aria-pressed", false);
    readout.reset();
    pad.showSounding(null);
    for (const dot of $("#beats").children) dot.classList.remove("on");
    $("#bar").textContent = "";
  }
  show();
  if (problem?.status && state !== "playing") return notice("said", { detail: problem.message });
  if (hush && state === "playing") return notice(hush);
  if (state === "playing" && board.key === "newStation") return;
  notice({ starting: "starting", reconnecting: problem ? "offline" : "reconnecting" }[state] ?? null);
}

/** One large button in the middle of the page, where nothing can go on without the listener. */
function offer(text, label, action) {
  const dialog = $("#begin");
  $("#begin-what").textContent = text;
  $("#begin > button span").textContent = label;
  $("#begin > button").onclick = () => {
    dialog.close();
    action();
  };
  if (!dialog.open) dialog.showModal();
}

function offerNew(id) {
  join = null;
  offer(t("goneStation", { id }), t("playNew"), play);
}

function showBeat({ bar, beat }) {
  [...$("#beats").children].forEach((dot, index) => dot.classList.toggle("on", index === beat - 1));
  $("#bar").textContent = t("bar", { bar });
  pad.pulse(beat === 1);
}

function animate(now_ms) {
  requestAnimationFrame(animate);
  accent.ease();
  readout.showNext();
  if (now_ms - lastDrawing_ms < DRAW_EVERY_MS) return;
  lastDrawing_ms = now_ms;
  meters.draw();
}

// --- the page itself ----------------------------------------------------------------------------------------------

/** Equal steps of the fader sound about equal. */
const volume = () => $("#volume").valueAsNumber ** 2;

/** What leads to this music: the station while it plays, else what it was asked with. */
function linkToThis() {
  const query = music.station ? new URLSearchParams({ station: music.station.id }) : writeAddress(wishes.opening);
  return server.addressOf(`./?${query}`);
}

/** The page's own address says what is asked, so that a bookmark brings it back; one that was joined stays named. */
function follow() {
  clearTimeout(followTimer);
  followTimer = setTimeout(followNow, FOLLOW_AFTER_MS);
}

function followNow() {
  clearTimeout(followTimer);
  followTimer = 0;
  if (music.phase !== "idle" && !music.player.isOurs) return;
  history.replaceState(null, "", server.addressOf(`./#${writeAddress(wishes.opening)}`));
}

async function share() {
  if (music.station) {
    music.player.isShared = true;
    join = { id: music.station.id, isOurs: music.player.isOurs, isShared: true };
  }
  const link = linkToThis();
  try {
    await navigator.clipboard.writeText(link);
    notice("shared");
  } catch {
    showLink(link); // no clipboard outside https and localhost, or it is refused
  }
}

function showLink(link) {
  const field = $("#link input");
  field.value = link;
  $("#link").showModal();
  field.focus();
  field.select();
  $("#link-text").textContent = t(document.execCommand("copy") ? "linkCopied" : "linkByHand");
}

function translate() {
  translatePage();
  $("#language").textContent = currentLanguage() === "en" ? "中文" : "English";
  $("#language").lang = currentLanguage() === "en" ? "zh" : "en";
  board.translate();
  tellReading(told);
  $("#play").setAttribute("aria-label", t(music.phase !== "idle" && !hush ? "stop" : "play"));
  keep.translate();
  pad.showMoods(moods);
  $("#stinger").replaceChildren(
    new Option(`${t("stinger")} …`, ""),
    ...stingers.map((stinger) => new Option(nameOf(stinger), stinger.name)),
  );
  show();
}

function listenToMusic() {
  music.on("phase", showState);
  music.on("station", ({ station, how }) => meetStation(station, how));
  music.on("node", (node) => meters.listenTo(node));
  music.on("silenced", ({ resume }) => offer(t("waitingAgain"), t("play"), resume));
  music.on("stats", showStats);
  music.on("sent", (control) => readout.sent(control.id, labelOf(control), kindOf(control)));
  music.on("ack", meetAck);
  music.on("refused", meetRefusal);
  music.on("beat", (beat) => !hush && showBeat(beat));
  music.on("status", meetNews);
  music.on("open", meetConnection);
  music.on("problem", meetProblem);
  music.on("leaving", () => {
    if (followTimer) followNow();
    remember();
  });
  music.on("ended", ({ id }) => offerNew(id));
}

function listen() {
  const toggle = () => (music.phase === "idle" || hush ? play() : stop());
  const playOrPause = () => (music.phase === "idle" || hush ? play() : pause());
  const [undo, redo] = [() => goBack(steps.undo(wishes.saved)), () => goBack(steps.redo(wishes.saved))];
  $("#play").addEventListener("click", toggle);
  $("#panic").addEventListener("click", panic);
  $("#pause").addEventListener("click", pause);
  $("#undo").addEventListener("click", undo);
  $("#redo").addEventListener("click", redo);
  $("#seed").addEventListener("change", (event) => meetSeed(event.target.value.trim()));
  $("#keep-open").addEventListener("click", () => keep.open());
  $("#seed-auto").addEventListener("click", () => setSeed(wishes.seed === null ? (music.station?.seed ?? null) : null));
  $("#end").addEventListener("click", () => command({ type: "end", how: "cadence", at: "phrase" }));
  $("#hit").addEventListener("click", () => command({ type: "hit", at: "beat" }));
  $("#voice").addEventListener("click", makeRoomForVoice);
  $("#stinger").addEventListener("change", (event) => playStinger(event.target));
  $("#share").addEventListener("click", share);
  $("#theme").addEventListener("click", switchTheme);
  $("#language").addEventListener("click", () => {
    switchLanguage();
    translate();
  });
  $("#volume").addEventListener("input", (event) => {
    fill(event.target);
    localStorage.setItem("volume", event.target.value);
    if (!hush) music.fadeTo(volume(), RESUME_FADE_MS);
  });
  $("#buffer").addEventListener("change", (event) => {
    localStorage.setItem("buffer", event.target.value);
    music.player.setBuffer(Number(event.target.value));
  });
  $("#prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const prompt = $("#prompt").value.trim();
    if (prompt) askInWords(prompt);
  });
  document.addEventListener("keydown", (event) => {
    if ($("dialog[open]")) return;
    if (event.key === "Escape") panic();
    const isWriting = event.target.closest("input:not([type=range])");
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !isWriting) {
      event.preventDefault();
      return event.shiftKey ? redo() : undo();
    }
    const isTaken = event.target.closest("button, select, summary, input:not([type=range])");
    if (event.key !== " " || isTaken || event.repeat) return;
    event.preventDefault();
    playOrPause();
  });
  window.addEventListener("hashchange", () => meetAddress(readAddress(location)));
  window.addEventListener("pageshow", (event) => event.persisted && resume());
  const stillness = matchMedia("(prefers-reduced-motion: reduce)");
  stillness.addEventListener("change", () => (accent.isInstant = stillness.matches));
  accent.isInstant = stillness.matches;
}

/** A whole number is a seed; nothing gives the choice back; anything else is shown as it was. */
function meetSeed(text) {
  const seed = Number(text);
  if (text === "") setSeed(null);
  else if (/^\d+$/.test(text) && Number.isSafeInteger(seed)) setSeed(seed);
  else notice("badSeed", { seed: text, most: Number.MAX_SAFE_INTEGER });
}

function restoreSettings() {
  applyTheme();
  $("#volume").value = localStorage.getItem("volume") ?? $("#volume").value;
  $("#buffer").value = localStorage.getItem("buffer") ?? $("#buffer").value;
  music.player.setBuffer(Number($("#buffer").value));
}

/** What this tab is doing, for when it is loaded again. The station goes on; the server ends it if nobody comes. */
function remember() {
  const { isOurs, isShared } = music.player;
  const { station } = music;
  const playing = station && { id: station.id, isOurs, isShared };
  const { saved, seed } = wishes;
  const kept = { address: location.href, wishes: saved, seed, prompt: $("#prompt").value, playing };
  sessionStorage.setItem("studio", JSON.stringify(kept));
}

/** Go on as the tab was left, or as its address says. */
function resume() {
  const kept = JSON.parse(sessionStorage.getItem("studio"));
  if (kept?.address === location.href) {
    wishes.restore(kept.wishes, moods);
    wishes.seed = kept.seed;
    $("#prompt").value = kept.prompt;
    join = kept.playing;
    if (join) startOrOffer(t("waitingAgain"));
  } else {
    meetAddress(readAddress(location));
  }
  show();
}

/** What an address asks for plays; `asked` as of `readAddress`. */
function meetAddress(asked) {
  if (!asked) return;
  if (asked.station) return joinByLink(asked.station);
  if (!askFor(asked)) return;
  if (music.phase !== "idle") return setSeed(wishes.seed);
  startOrOffer(asked.prompt ? t("waitingPrompt", { prompt: asked.prompt }) : t("waitingMood", { mood: title() }));
}

async function joinByLink(id) {
  try {
    await server.fetchStation(id);
  } catch (found) {
    if (!(found instanceof Problem)) throw found;
    if (found.status === 404) return offerNew(id);
  }
  join = { id, isOurs: false };
  startOrOffer(t("waitingStation", { id }));
}

/** Play by itself where the browser allows that; otherwise one press is needed. */
async function startOrOffer(text) {
  if (await music.output.mayStart()) play();
  else offer(text, t("play"), play);
}

/** The presets; without a server the page stays usable and keeps asking. */
async function loadMoods() {
  for (let pause_ms = 500; ; pause_ms = Math.min(5000, pause_ms * 2)) {
    try {
      ({ moods, styles, stingers } = await server.fetchMoods());
      break;
    } catch {
      notice("offline");
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
  }
  if (board.key === "offline") notice(null);
  controls.showCatalogue(moods, styles);
  wishes.choose(moods.find((mood) => mood.name === FIRST_MOOD) ?? moods[0]);
  translate();
  resume();
}

restoreSettings();
listen();
listenToMusic();
translate();
requestAnimationFrame(animate);
loadMoods();
