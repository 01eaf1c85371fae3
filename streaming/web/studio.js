/* The studio page: wires the parts together. In: the listener's hands and the station's events; out: controls and what
   is seen. Remembers what was asked (`wishes`), what the page is doing (`mode`) and fields not sent yet. */

import { fetchMoods } from "./api.js";
import { FrameClock } from "./clock.js";
import { Accent, colourOf } from "./colour.js";
import { Controls, fill } from "./controls.js";
import { currentLanguage, keyName, nameOf, switchLanguage, t, translatePage } from "./i18n.js";
import { Meters } from "./meters.js";
import { Pad, describePoint } from "./pad.js";
import { Player } from "./player.js";
import { Readout } from "./readout.js";
import { BASE_FIELDS, Wishes, merged } from "./wishes.js";

const STEER_EVERY_MS = 40;
const DRAW_EVERY_MS = 30;
const FADE_MS = 120;
const RESUME_FADE_MS = 30;
const FIRST_MOOD = "focus";
const COLOUR_FIELDS = ["valence", "energy", "brightness", "layers"];

const $ = (selector) => document.querySelector(selector);
const audio = $("#audio");
const address = new URLSearchParams(location.search);

let moods = [];
let styles = [];
let stingers = [];
let meters = null;
let problem = null;
let noticeKey = null;
let unsent = {};
let sendTimer = 0;
let fadeTimer = 0;
let numControls = 0;
let isSilenced = false;
let takesHeading = null;
let lastDrawing_ms = 0;
let joinId = address.get("station");

const wishes = new Wishes();
const clock = new FrameClock();
const readout = new Readout(clock);
const accent = new Accent(document.documentElement);
const controls = new Controls({ onSet: setFields, onPick: pickMood });
const pad = new Pad($("#pad"), { onMove: setFields, onPick: pickMood });
const player = new Player({
  state: showState,
  station: meetStation,
  stream: hear,
  stats: showStats,
  event: receive,
  open: flush,
  problem: meetProblem,
});

window.undersong = {
  context: null,
  analyser: null,
  sides: null,
  get station() {
    return player.station;
  },
  get pc() {
    return player.pc;
  },
};

// --- asking -------------------------------------------------------------------------------------------------------

/** The listener has set some fields: show them at once, send them soon. */
function setFields(fields) {
  wishes.set(fields);
  steer(fields);
}

function pickMood(mood) {
  wishes.choose(mood);
  $("#understood").textContent = "";
  dropUnsentBase();
  steer({ mood: mood.name });
}

function askInWords(prompt) {
  wishes.describe(prompt);
  dropUnsentBase();
  if (player.state === "idle") play();
  else steer({ prompt });
}

/** A new preset or prompt overtakes the point, tension and styles that wait to be sent. */
function dropUnsentBase() {
  for (const name of ["mood", "prompt", ...BASE_FIELDS]) delete unsent[name];
}

function steer(fields) {
  show();
  if (player.state === "idle") return;
  unsent = merged(unsent, fields);
  if (!sendTimer) flush();
}

/** Send what has gathered, at most every STEER_EVERY_MS; without a connection it waits for the next one. */
function flush() {
  clearTimeout(sendTimer);
  sendTimer = 0;
  if (!Object.keys(unsent).length) return;
  if (!command({ type: "steer", set: unsent }, labelOf(unsent), kindOf(unsent))) return;
  unsent = {};
  sendTimer = setTimeout(flush, STEER_EVERY_MS);
}

function command(control, label = "", kind = control.type) {
  const id = `c${++numControls}`;
  readout.sent(id, label, kind);
  return player.send({ ...control, id });
}

function kindOf(fields) {
  const names = Object.keys(fields);
  return names.every((name) => COLOUR_FIELDS.includes(name)) ? "colour" : names.sort().join();
}

/** What a steer asks for, in a word or two. */
function labelOf(fields) {
  const words = {
    mood: (name) => nameOf(moods.find((mood) => mood.name === name)),
    prompt: (text) => `“${text}”`,
    style: (weights) => {
      const [name, ...others] = Object.keys(weights);
      return others.length ? t("style") : nameOf(styles.find((style) => style.name === name));
    },
    key: (key) => (key ? keyName(key) : `${t("key")}: ${t("auto")}`),
    bpm: (bpm) => (bpm ? t("bpmValue", { bpm }) : `${t("bpm")}: ${t("auto")}`),
  };
  const [name] = ["mood", "prompt", "style", "key", "bpm"].filter((each) => each in fields);
  if (name) return words[name](fields[name]);
  if ("valence" in fields) return describePoint(moods, wishes.values);
  return t(Object.keys(fields)[0]);
}

// --- playing ------------------------------------------------------------------------------------------------------

function play() {
  if (isSilenced && player.state !== "idle") {
    isSilenced = false;
    command({ type: "transport", do: "play" });
    fadeTo(volume(), RESUME_FADE_MS);
    return showState(player.state);
  }
  meters ??= openMeters();
  meters.context.resume();
  fadeTo(volume(), RESUME_FADE_MS);
  problem = null;
  isSilenced = false;
  unsent = {};
  player.play(() => wishes.opening, joinId);
}

function stop(noticeAfter = null) {
  fadeTo(0, FADE_MS);
  setTimeout(() => {
    if (!isSilenced && player.state !== "idle") player.stop();
    notice(noticeAfter);
  }, FADE_MS);
}

function panic() {
  if (player.state === "idle" || isSilenced) return;
  command({ type: "panic" });
  fadeTo(0, RESUME_FADE_MS);
  isSilenced = true;
  showState(player.state);
}

/** A stinger is chosen and played; the list shows its title again, so that the same one can be chosen once more. */
function playStinger(select) {
  const stinger = stingers.find(({ name }) => name === select.value);
  select.selectedIndex = 0;
  if (stinger) command({ type: "stinger", name: stinger.name, at: "beat" }, nameOf(stinger), "stinger");
}

function openMeters() {
  const opened = new Meters(new AudioContext({ latencyHint: "interactive" }), $("#spectrum"), $("#level"));
  Object.assign(window.undersong, { context: opened.context, analyser: opened.analyser, sides: opened.sides });
  return opened;
}

function meetProblem(found) {
  problem = found;
  if (wishes.prompt && !found.isPassing) wishes.dropPrompt();
}

function meetStation(station, how) {
  readout.reset();
  clock.reset();
  const readsPrompt = (heading) => resolvePrompt(heading, station.understood);
  takesHeading = how === "joined" ? adoptHeading : wishes.prompt ? readsPrompt : null;
  meetStatus(station);
  if (how === "replaced") {
    joinId = null;
    notice("newStation");
  }
  show();
}

function hear(stream) {
  audio.srcObject = stream;
  audio.play().catch(() => notice("silenced"));
  meters.listenTo(stream);
}

function receive(event) {
  if (event.type === "ack") {
    const sent = readout.acknowledged(event);
    if (sent?.kind === "prompt") takesHeading = (heading) => resolvePrompt(heading, event.understood);
  } else if (event.type === "beat") {
    clock.announce(event);
  } else if (event.type === "status") {
    clock.observe(event.position.frame);
    meetStatus(event);
    if (event.state === "ended" && player.state !== "idle") stop("ended");
  } else if (event.type === "error") {
    readout.rejected(event.id);
    notice(null, event.detail);
  }
}

/** The station's own words on what sounds and where it is going; a station just opened has none yet. */
function meetStatus(status) {
  if (status.mood?.valence === undefined) return;
  readout.sounding = status;
  takesHeading?.(status.heading ?? status.mood);
  takesHeading = null;
  pad.showSounding(status.mood);
  controls.show(wishes.values, wishes.mood, status.mood);
  readout.showNow(moods);
}

function adoptHeading(heading) {
  wishes.adopt(heading);
  show();
}

/** Where the station is heading after a prompt is how the prompt was read; `understood` tells which words were not. */
function resolvePrompt(heading, understood) {
  wishes.resolve(heading);
  const styleNames = Object.keys(heading.style).map((name) => nameOf(styles.find((style) => style.name === name)));
  const heard = t("understood", { what: [describePoint(moods, heading), ...styleNames].join(" · ") });
  const unknown = understood?.unknown ?? [];
  $("#understood").textContent = unknown.length ? `${heard} ${t("unknown", { words: unknown.join(", ") })}` : heard;
  show();
}

function showStats({ buffer_ms, network_ms }) {
  const { baseLatency, outputLatency } = meters.context;
  clock.playout_ms = (buffer_ms ?? player.buffer_ms) + (outputLatency || baseLatency || 0) * 1000;
  readout.measured({ buffer_ms, network_ms });
  readout.showLatency();
}

// --- showing ------------------------------------------------------------------------------------------------------

function show() {
  const values = wishes.values;
  pad.show(values);
  accent.target = colourOf(values);
  $("#heading").textContent = wishes.mood ? nameOf(wishes.mood) : describePoint(moods, values);
  controls.show(values, wishes.mood, readout.sounding?.mood);
  readout.showNow(moods);
  readout.showLatency();
}

function showState(state) {
  const isOn = state !== "idle" && !isSilenced;
  document.body.dataset.state = isSilenced && state !== "idle" ? "silenced" : state;
  $("#play").setAttribute("aria-label", t(isOn ? "stop" : "play"));
  for (const id of ["#end", "#panic", "#hit", "#stinger", "#voice"]) $(id).disabled = !isOn;
  if (state === "playing") problem = null;
  if (state === "idle") {
    $("#voice").setAttribute("aria-pressed", false);
    readout.reset();
    pad.showSounding(null);
    for (const dot of $("#beats").children) dot.classList.remove("on");
    $("#bar").textContent = "";
    show();
  }
  const refusal = problem?.status ? problem.message : null;
  if (refusal && state !== "playing") return notice(null, refusal);
  if (isSilenced && state === "playing") return notice("silenced");
  if (state === "playing" && noticeKey === "newStation") return;
  notice({ starting: "starting", reconnecting: problem ? "offline" : "reconnecting" }[state] ?? null);
}

function notice(key, text = null) {
  noticeKey = key;
  $("#notice").textContent = key ? t(key) : (text ?? "");
}

function showBeat({ bar, beat }) {
  [...$("#beats").children].forEach((dot, index) => dot.classList.toggle("on", index === beat - 1));
  $("#bar").textContent = t("bar", { bar });
  pad.pulse(beat === 1);
}

function animate(now_ms) {
  requestAnimationFrame(animate);
  accent.ease();
  if (!meters) return;
  const beat = clock.takeBeat(now_ms);
  if (beat && !isSilenced) showBeat(beat);
  readout.showNext();
  if (now_ms - lastDrawing_ms < DRAW_EVERY_MS) return;
  lastDrawing_ms = now_ms;
  meters.draw();
}

// --- the page itself ----------------------------------------------------------------------------------------------

/** Equal steps of the fader sound about equal. */
const volume = () => $("#volume").valueAsNumber ** 2;

function fadeTo(target, duration_ms) {
  clearTimeout(fadeTimer);
  const [from, began_ms] = [audio.volume, performance.now()];
  const step = () => {
    const share = Math.min(1, (performance.now() - began_ms) / duration_ms);
    audio.volume = from + (target - from) * share;
    if (share < 1) fadeTimer = setTimeout(step, 8);
  };
  step();
}

async function share() {
  if (player.station) {
    player.isShared = true;
    joinId = player.station.id;
  }
  const query = player.station ? { station: player.station.id } : wishes.mood ? { mood: wishes.mood.name } : {};
  const link = new URL(`/?${new URLSearchParams(query)}`, location.href).href;
  await navigator.clipboard.writeText(link).then(
    () => notice("shared"),
    () => notice(null, link),
  );
}

function switchTheme() {
  const root = document.documentElement;
  const isDark =
    (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

function translate() {
  translatePage();
  $("#language").textContent = currentLanguage() === "en" ? "中文" : "English";
  $("#language").lang = currentLanguage() === "en" ? "zh" : "en";
  if (noticeKey) notice(noticeKey);
  $("#play").setAttribute("aria-label", t(player.state !== "idle" && !isSilenced ? "stop" : "play"));
  pad.showMoods(moods);
  $("#stinger").replaceChildren(
    new Option(`${t("stinger")} …`, ""),
    ...stingers.map((stinger) => new Option(nameOf(stinger), stinger.name)),
  );
  show();
}

function listen() {
  const toggle = () => (player.state === "idle" || isSilenced ? play() : stop());
  $("#play").addEventListener("click", toggle);
  $("#panic").addEventListener("click", panic);
  $("#end").addEventListener("click", () => command({ type: "end", how: "cadence", at: "phrase" }, t("ending")));
  $("#hit").addEventListener("click", () => command({ type: "hit", at: "beat" }, t("hit")));
  $("#voice").addEventListener("click", () => {
    const voice = $("#voice").getAttribute("aria-pressed") !== "true";
    $("#voice").setAttribute("aria-pressed", voice);
    command({ type: "duck", voice }, t("voice"));
  });
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
    if (!isSilenced) audio.volume = volume();
  });
  $("#buffer").addEventListener("change", (event) => {
    localStorage.setItem("buffer", event.target.value);
    player.setBuffer(Number(event.target.value));
  });
  $("#prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const prompt = $("#prompt").value.trim();
    if (prompt) askInWords(prompt);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") panic();
    const isTaken = event.target.closest("button, select, summary, input:not([type=range])");
    if (event.key !== " " || isTaken || event.repeat) return;
    event.preventDefault();
    toggle();
  });
  window.addEventListener("pagehide", () => player.stop());
  const stillness = matchMedia("(prefers-reduced-motion: reduce)");
  stillness.addEventListener("change", () => (accent.isInstant = stillness.matches));
  accent.isInstant = stillness.matches;
}

function restoreSettings() {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  $("#volume").value = localStorage.getItem("volume") ?? $("#volume").value;
  $("#buffer").value = localStorage.getItem("buffer") ?? $("#buffer").value;
  player.setBuffer(Number($("#buffer").value));
}

/** The presets; without a server the page stays usable and keeps asking. */
async function loadMoods() {
  for (let pause_ms = 500; ; pause_ms = Math.min(5000, pause_ms * 2)) {
    try {
      ({ moods, styles, stingers } = await fetchMoods());
      break;
    } catch {
      notice("offline");
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
  }
  if (noticeKey === "offline") notice(null);
  controls.showCatalogue(moods, styles);
  const first = moods.find((mood) => mood.name === (address.get("mood") ?? FIRST_MOOD)) ?? moods[0];
  if (first) wishes.choose(first);
  translate();
}

restoreSettings();
listen();
translate();
requestAnimationFrame(animate);
loadMoods();
