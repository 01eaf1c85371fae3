/* The overlay page: one station's sound and what a stream's viewers see of it. In: the page's address and the station's
   events; out: sound, cards. Remembers what the address asked for, and whether sound may begin; finds the station again
   for ever. */

import { Problem, Undersong } from "../client/undersong.js";
import { readOverlay } from "./address.js";
import { Ballot } from "./ballot.js";
import { Card } from "./card.js";
import { Accent, colourOf } from "./colour.js";
import { speak, t, translatePage } from "./i18n.js";
import { Meters } from "./meters.js";
import { stayOn } from "./stay.js";

const FADE_IN_MS = 400;
const BUFFER_MS = 120;
const PATIENT_FAILURES = 2;
const TROUBLE_AFTER_MS = 8000;
const DRAW_EVERY_MS = 33;
const TICK_EVERY_MS = 250;
const GONE = 404;
const TAKEN = 409;
const NOT_ALLOWED = [401, 403];

const $ = (selector) => document.querySelector(selector);

const asked = readOverlay(location);
const words = { moods: [], styles: [] };
const music = new Undersong({
  token: asked.token || null,
  transport: asked.audio === "none" ? "auto" : asked.audio,
  buffer_ms: BUFFER_MS,
  element: $("#audio"),
});
const card = new Card((frame) => music.heardAt(frame), words);
const ballot = new Ballot($("#vote"), words);
const meters = new Meters($("#spectrum"));
const accent = new Accent(document.documentElement);
let maySound = false;
let isLoud = false;
let troubleTimer = 0;
let lastDrawing_ms = 0;
window.overlay = { music, meters, asked };

// --- how it looks ---------------------------------------------------------------------------------------------------

function dress() {
  if (asked.language) speak(asked.language);
  translatePage();
  const { style, dataset } = document.body;
  dataset.theme = asked.theme;
  dataset.place = asked.place;
  style.setProperty("--overlay-size", asked.size);
  if (asked.accent) style.setProperty("--overlay-accent", asked.accent);
  if (asked.font) {
    style.setProperty("--overlay-font", `"${asked.font}", system-ui, sans-serif`);
    style.setProperty("--overlay-title", `"${asked.font}", system-ui, serif`);
  }
  const shows = (part) => asked.parts.includes(part);
  $("#card").hidden = !shows("card");
  $("#beats").hidden = !shows("beat");
  $("#spectrum").hidden = !shows("spectrum") || asked.audio === "none";
  $("#badge").hidden = !shows("badge");
}

function draw(now_ms) {
  requestAnimationFrame(draw);
  if (now_ms - lastDrawing_ms < DRAW_EVERY_MS) return;
  lastDrawing_ms = now_ms;
  accent.ease();
  if (!$("#spectrum").hidden && !$("#card").hidden) meters.draw();
}

/** Say what is wrong only where it lasts: viewers need not see every hiccup. */
function meetPhase(phase) {
  document.body.dataset.phase = phase;
  const isWell = phase === "playing" || phase === "connected";
  if (!isWell) return (troubleTimer ||= setTimeout(() => complain("overlayLost"), TROUBLE_AFTER_MS));
  clearTimeout(troubleTimer);
  troubleTimer = 0;
  $("#trouble").hidden = true;
  if (phase === "playing" && !isLoud) music.fadeTo(asked.volume, FADE_IN_MS);
  isLoud ||= phase === "playing";
}

function complain(key, values) {
  clearTimeout(troubleTimer);
  $("#trouble").textContent = t(key, values);
  $("#trouble").hidden = false;
}

// --- the station ----------------------------------------------------------------------------------------------------

/** Make sure that there is a station of that name, by opening it where this page may. */
async function have(name) {
  try {
    await music.server.fetchStation(name);
  } catch (problem) {
    if (problem.status !== GONE) throw problem;
    await open(name);
  }
}

async function open(name) {
  try {
    await music.server.createStation({ name, ...(asked.mood && { mood: asked.mood }) });
  } catch (problem) {
    if (problem.status === TAKEN) return; // somebody else was quicker
    if (NOT_ALLOWED.includes(problem.status)) throw new Problem(GONE, t("overlayNone", { name }));
    throw problem;
  }
}

/** Words of moods and styles come first, for the card to name what it shows. */
async function enter() {
  if (!words.moods.length) Object.assign(words, await music.server.fetchMoods());
  await have(asked.station);
  const join = { id: asked.station, isOurs: false };
  await (maySound ? music.play({}, join) : music.connect({}, join));
}

function meetProblem({ status, message }, failures) {
  if (failures < PATIENT_FAILURES) return;
  complain(status ? "said" : "overlayLost", { detail: message });
}

// --- sound ----------------------------------------------------------------------------------------------------------

/** Where the browser wants a gesture first, one button asks for it; the card is there meanwhile. */
async function begin() {
  music.fadeTo(0, 0);
  if (asked.audio === "none") music.clock.playout_ms = asked.delay_ms;
  else maySound = await music.output.mayStart();
  const isAsking = asked.audio !== "none" && !maySound;
  $("#start").hidden = !isAsking;
  stayOn(music, enter, meetProblem);
}

function start() {
  $("#start").hidden = true;
  maySound = true;
  music.output.open();
  if (music.phase !== "idle") music.play().catch(() => {}); // what is left is found again
}

// --- wiring ---------------------------------------------------------------------------------------------------------

music.on("phase", meetPhase);
music.on("status", (status) => {
  if (status.state === "closed") return;
  card.meetStatus(status);
  accent.target = colourOf(status.mood);
});
music.on("station", ({ station }) => {
  card.meetStatus(station);
  accent.target = colourOf(station.mood);
});
music.on("node", (node) => meters.listenTo(node));
music.on("beat", (beat) => card.pulse(beat));
if (asked.parts.includes("vote")) {
  music.on("vote", (vote) => ballot.meet(vote));
  music.on("open", () => ballot.forget());
}
music.on("silenced", ({ resume }) => {
  $("#start").hidden = false;
  $("#start").addEventListener("click", resume, { once: true });
});
$("#start").addEventListener("click", start);
setInterval(() => card.tick(), TICK_EVERY_MS);
dress();
requestAnimationFrame(draw);
begin();
