/* The streamer's dock: wires buttons, faders, keys and links to one station. In: the streamer's hands and the station's
   events; out: controls and what is seen. Remembers the last status, whether the duck button is held, and
   what the station knows of that. */

import { stationPath } from "../client/server.js";
import { Problem, Refusal, Undersong } from "../client/undersong.js";
import { nameInPath } from "./address.js";
import { Ballot } from "./ballot.js";
import { clockOf, nextChange } from "./card.js";
import { Accent, colourOf } from "./colour.js";
import { make } from "./elements.js";
import { currentLanguage, nameOf, switchLanguage, t, translatePage } from "./i18n.js";
import { Links } from "./links.js";
import { grouped, nameOfPoint, presetAt, styleWords } from "./naming.js";
import { stayOn } from "./stay.js";

const DUCK_DB = -12;
const DUCK_S = 0.1;
const RELEASE_S = 0.6;
const STEP_ENERGY = 0.05;
const STEP_DB = 2;
const SEND_EVERY_MS = 60;
const HAND_OFF_MS = 1500;
const ASK_EVERY_MS = 4000;
const TICK_EVERY_MS = 250;
const BRIEF_MS = 5000;
const MINUTES = [1, 2, 3, 5, 10, 15];
const COUNTDOWN = "dock-countdown";
const COUNTED_MOODS = 9;
const KEYS = { "P / Esc": "panic", "␣": "play", "S": "skip", "D": "duck", "↑ ↓": "energy", "− +": "volume",
  "1 … 9": "mood", "/": "find", "?": "help" };
const DOORS = { obs: "doorObs", programme: "doorProgramme", irc: "doorIrc", "twitch chat": "doorTwitchChat",
  "twitch events": "doorTwitchEvents" };
const GONE = 404;

const $ = (selector) => document.querySelector(selector);

const name = nameInPath(location);
const token = new URLSearchParams(location.search).get("token");
const music = new Undersong({ token });
const words = { moods: [], styles: [] };
const ballot = new Ballot($("#voting"), words);
const links = new Links(music.server, name, token, say);
const accent = new Accent(document.documentElement);
let status = null;
let isDucking = false;
let isDuckTold = false;
let noticeTimer = 0;
/** When each fader was last moved by hand: what the station says does not pull it away from under a finger. */
const touched_ms = { energy: -Infinity, volume: -Infinity };
window.dock = { music };

// --- asking ---------------------------------------------------------------------------------------------------------

async function ask(control, what) {
  try {
    return await music.send(control);
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    say("dockRefused", { what, detail: refusal.message });
    return null;
  }
}

/** Silence may not wait for a live channel that is just being opened again: it goes by HTTP as well. */
function panic() {
  if (music.isOpen) return ask({ type: "panic" }, t("dockPanic"));
  return music.server
    .postJson(`${stationPath(name)}/controls`, { type: "panic" })
    .catch((problem) => say("dockRefused", { what: t("dockPanic"), detail: problem.message }));
}

function playOrPause() {
  const isPlaying = status?.state === "playing" || status?.state === "asleep";
  return ask({ type: "transport", do: isPlaying ? "pause" : "play" }, t(isPlaying ? "dockPause" : "dockPlay"));
}

/** Lowered as long as the button is held; given back whatever ends that. */
function duck(isHeld) {
  if (isHeld === isDucking) return;
  isDucking = isHeld;
  $("#duck").setAttribute("aria-pressed", isHeld);
  tellDuck();
}

function tellDuck() {
  const control = { type: "duck", gain_db: isDucking ? DUCK_DB : 0, over: isDucking ? DUCK_S : RELEASE_S };
  if (!music.isOpen) return;
  isDuckTold = isDucking;
  ask(control, t("dockDuck"));
}

/** Music that has ended begins again for it. */
async function pick(mood) {
  if (status?.state === "ended") await ask({ type: "transport", do: "play" }, t("dockPlay"));
  await ask({ type: "steer", set: { mood: mood.name } }, nameOf(mood));
}

/** Sends the newest value of a fader, and not more often than anybody hears. */
function sender(control) {
  let timer = 0;
  let newest = null;
  const send = () => {
    timer = newest === null ? 0 : setTimeout(send, SEND_EVERY_MS);
    if (newest !== null) ask(control(newest), "");
    newest = null;
  };
  return (value) => {
    newest = value;
    if (!timer) send();
  };
}

const sendEnergy = sender((energy) => ({ type: "steer", set: { energy } }));
const sendVolume = sender((gain_db) => ({ type: "volume", gain_db, over: 0.1 }));

function move(id, value) {
  const fader = $(`#${id}`);
  fader.value = value;
  touched_ms[id] = performance.now();
  showFader(id);
  (id === "energy" ? sendEnergy : sendVolume)(Number(fader.value));
}

const step = (id, by) => move(id, Number($(`#${id}`).value) + by);

// --- showing --------------------------------------------------------------------------------------------------------

function say(key, values) {
  clearTimeout(noticeTimer);
  $("#notice").textContent = t(key, values);
  $("#notice").hidden = false;
  noticeTimer = setTimeout(() => ($("#notice").hidden = true), BRIEF_MS);
}

function showFader(id) {
  const value = Number($(`#${id}`).value);
  const db = value > 0 ? `+${value}` : value;
  const text = id === "energy" ? `${Math.round(100 * value)} %` : t("decibels", { db });
  $(`output[for=${id}]`).textContent = text;
  $(`#${id}`).setAttribute("aria-valuetext", text);
}

function follow(id, value) {
  if (performance.now() - touched_ms[id] < HAND_OFF_MS || value === undefined) return;
  $(`#${id}`).value = value;
  showFader(id);
}

function meetStatus(told) {
  if (told.state === "closed") return;
  status = told;
  accent.target = colourOf(told.mood);
  accent.ease();
  follow("energy", told.heading.energy);
  follow("volume", told.volume_db);
  show();
}

function show() {
  const isThere = music.phase === "connected" && status;
  const state = isThere ? status.state : "none";
  document.body.dataset.state = state;
  $("#state").textContent = t(`dockState_${state}`);
  for (const button of document.querySelectorAll(".buttons button:not(#panic), #countdown button")) {
    button.disabled = !isThere;
  }
  if (!status) return;
  const { moods, styles } = words;
  const by = status.asked_by?.by;
  const parts = [nameOfPoint(status.mood, moods, styles), styleWords(status.mood.style, styles),
    t("bpmValue", { bpm: Math.round(status.position.bpm) }), by && t("byWhom", { name: `\u2068${by}\u2069` })];
  $("#now").textContent = parts.filter(Boolean).join(" · ");
  const isPlaying = status.state === "playing" || status.state === "asleep";
  $("#play span").textContent = t(isPlaying ? "dockPause" : "dockPlay");
  const chosen = presetAt(moods, status.heading);
  for (const button of $("#moods").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.dataset.mood === chosen?.name);
  }
  tick();
}

function tick() {
  if (!status) return;
  $("#next").textContent = nextChange(status, words) || "\u00a0";
  const { countdown } = status;
  $("#uncount").hidden = !countdown;
  const at_ms = countdown ? music.heardAt(countdown.ends_at.frame) : null;
  $("#remaining").textContent = !countdown
    ? ""
    : clockOf(at_ms === null ? countdown.remaining_s : (at_ms - performance.now()) / 1000);
}

/** The moods that fit what is typed, the first nine with their keys. */
function listMoods() {
  const wanted = $("#find").value.trim().toLowerCase();
  const fits = ({ name, zh, aliases }) => [name, zh, ...aliases].some((each) => each.toLowerCase().includes(wanted));
  const found = grouped(words.moods).flatMap(({ moods }) => moods).filter(fits);
  $("#moods").replaceChildren(
    ...found.map((mood, index) => {
      const key = index < COUNTED_MOODS ? [" ", make("kbd", { textContent: String(index + 1) })] : [];
      const button = make("button", { type: "button", dataset: { mood: mood.name } }, nameOf(mood), ...key);
      button.onclick = () => pick(mood);
      return make("li", {}, button);
    }),
  );
  show();
}

function translate() {
  translatePage();
  document.title = `${name} · ${t("dock")}`;
  $("#language").textContent = currentLanguage() === "zh" ? "English" : "中文";
  $("#language").lang = currentLanguage() === "zh" ? "en" : "zh";
  $("#minutes").replaceChildren(
    ...MINUTES.map((minutes) => make("option", { value: 60 * minutes, textContent: t("dockMinutes", { minutes }) })),
  );
  $("#minutes").value = 300;
  $("#help dl").replaceChildren(
    ...Object.entries(KEYS).flatMap(([keys, what]) => [
      make("dt", {}, make("kbd", { textContent: keys })),
      make("dd", { textContent: t(`key_${what}`) }),
    ]),
  );
  ["energy", "volume"].forEach(showFader);
  links.list($("#actions"));
  listMoods();
}

// --- what others have to say -----------------------------------------------------------------------------------------

/** Ask for what is not told over the live channel; a server without it is asked no more. */
async function askFor(path, meet) {
  try {
    meet(await (await music.server.request(path)).json());
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (!problem.isPassing && music.phase === "connected") return;
  }
  setTimeout(() => askFor(path, meet), ASK_EVERY_MS);
}

function meetRequests({ requests }) {
  $("#requests").hidden = !requests.length;
  const answer = (n, what) => async () => {
    const { server } = music;
    await server.postJson(`${stationPath(name)}/requests/${n}`, { do: what }).catch((problem) => said(problem));
    const left = requests.filter((each) => each.n !== n);
    meetRequests({ requests: left });
  };
  $("#requests ul").replaceChildren(
    ...requests.map(({ n, by, text }) => {
      const yes = make("button", { type: "button", textContent: t("dockApprove"), onclick: answer(n, "approve") });
      const no = make("button", { type: "button", textContent: t("dockRefuse"), onclick: answer(n, "refuse") });
      const asked = make("span", { className: "text" }, make("bdi", { textContent: text }),
        make("bdi", { className: "by", textContent: by }));
      return make("li", {}, asked, yes, no);
    }),
  );
}

const said = (problem) => say("said", { detail: problem.message });

function meetDoors({ doors }) {
  $("#doors").hidden = !doors.length;
  $("#doors ul").replaceChildren(
    ...doors.map(({ name, state, error }) => {
      const word = make("span", { textContent: t(`door_${state}`) });
      const isWrong = error && state !== "connected";
      const why = isWrong ? [make("span", { className: "error", textContent: error })] : [];
      return make("li", {}, make("strong", { textContent: t(DOORS[name] ?? "doorName", { name }) }), word, ...why);
    }),
  );
}

// --- hands ----------------------------------------------------------------------------------------------------------

const isTyping = ({ target }) => target.matches("input[type=search], select, dialog *");

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
  const isOnButton = event.target.matches("button, summary") && (event.key === " " || event.key === "Enter");
  const act = {
    p: panic, Escape: panic, " ": isOnButton ? null : playOrPause, s: skip, d: () => duck(true),
    ArrowUp: () => step("energy", STEP_ENERGY), ArrowDown: () => step("energy", -STEP_ENERGY),
    "-": () => step("volume", -STEP_DB), "+": () => step("volume", STEP_DB), "=": () => step("volume", STEP_DB),
    "/": () => $("#find").focus(), "?": () => $("#help").showModal(),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const counted = $("#moods").querySelectorAll("button")[Number(event.key) - 1];
  if (!act && !(counted && Number(event.key) <= COUNTED_MOODS)) return;
  if (event.target.type === "range" && event.key.startsWith("Arrow")) return;
  event.preventDefault();
  if (event.repeat && !event.key.startsWith("Arrow") && !"+-=".includes(event.key)) return;
  if (act) act();
  else counted.click();
}

const skip = () => ask({ type: "skip" }, t("dockSkip"));

function wire() {
  $("#panic").onclick = panic;
  $("#play").onclick = playOrPause;
  $("#skip").onclick = skip;
  const button = $("#duck");
  button.onpointerdown = (event) => {
    button.setPointerCapture(event.pointerId);
    duck(true);
  };
  button.onpointerup = button.onpointercancel = button.onlostpointercapture = () => duck(false);
  button.oncontextmenu = (event) => event.preventDefault(); // a long press
  button.onkeydown = (event) => [" ", "Enter"].includes(event.key) && duck(true);
  button.onkeyup = button.onblur = () => duck(false);
  document.onkeydown = onKey;
  document.onkeyup = ({ key }) => key.toLowerCase() === "d" && duck(false);
  window.onblur = () => duck(false);
  document.addEventListener("visibilitychange", () => document.hidden && duck(false));
  for (const id of ["energy", "volume"]) $(`#${id}`).oninput = ({ target }) => move(id, target.value);
  $("#find").oninput = listMoods;
  $("#find").onkeydown = ({ key, target }) => {
    if (key === "Enter") $("#moods button")?.click();
    if (key === "Enter" || key === "Escape") target.blur();
  };
  $("#countdown").onsubmit = (event) => {
    event.preventDefault();
    const goesOn = $("#goes-on").checked;
    const then = goesOn ? { then: "go on" } : {};
    ask({ type: "countdown", seconds: Number($("#minutes").value), id: COUNTDOWN, ...then }, t("dockCountdown"));
  };
  $("#uncount").onclick = () => ask({ type: "cancel", target: COUNTDOWN }, t("cancel"));
  $("#copy-overlay").onclick = () => links.copyOverlay();
  $("#copy-source").onclick = () => links.copySource();
  $("#keys").onclick = () => $("#help").showModal();
  $("#language").onclick = () => {
    switchLanguage();
    translate();
  };
}

// --- the station ----------------------------------------------------------------------------------------------------

async function enter() {
  if (!words.moods.length) Object.assign(words, await music.server.fetchMoods());
  listMoods();
  await music.connect({}, { id: name, isOurs: false });
}

function meetProblem(problem) {
  if (problem.status === GONE) say("overlayNone", { name });
  else if (problem.status) said(problem);
}

music.on("phase", show);
music.on("status", meetStatus);
music.on("station", ({ station }) => meetStatus(station));
music.on("open", () => {
  if (isDuckTold !== isDucking) tellDuck(); // let go while there was no connection
  ballot.forget();
});
music.on("vote", (vote) => ballot.meet(vote));
$("#name").textContent = name;
wire();
translate();
setInterval(tick, TICK_EVERY_MS);
stayOn(music, enter, meetProblem);
askFor(`${stationPath(name)}/requests`, meetRequests);
askFor("v1/doors", meetDoors);
