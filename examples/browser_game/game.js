/* Lantern: shades step on the beat, a lantern drives them off. In: keys, pointer, the beats of the music; out: what is
   drawn, and what the music is told. Remembers the field and where things stand on it.

   A plain script, so that the page also runs from a folder without a server of its own. */

const SERVER = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:8400/";

const CELL = 60;
const COLUMNS = 16;
const ROWS = 10;
const NUM_SHADES = 4;
const SEES_CELLS = 5;
const REACH_CELLS = 2;
const ON_BEAT_S = 0.13;
const VICTORY_BARS = 2;
const WALK_CELLS_PER_S = 4.5;

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const canvas = document.querySelector("canvas");
const pen = canvas.getContext("2d");
const said = document.querySelector("#said");
const start = document.querySelector("#start");

const game = {
  music: null,
  state: "calm",
  /** In cells. */
  hero: { x: 3, y: 5 },
  shades: [],
  beat: null,
  swing: 0,
  /** The bar with which a victory is over. */
  calmFrom: Infinity,
  target: null,
  held: new Set(),
};
window.game = game;

// --- music ------------------------------------------------------------------------------------------------------------

async function begin() {
  start.disabled = true;
  said.textContent = "Looking for the music …";
  const { Undersong } = await import(new URL("client/undersong.js", SERVER));
  const music = new Undersong({ server: SERVER, pausesWhenHidden: true });
  game.music = music;
  music.on("beat", onBeat);
  music.on("bar", onBar);
  music.on("state", ({ name }) => (said.textContent = `♪ ${name}`));
  music.on("gone", () => (said.textContent = "The server is gone; the last bars go on."));
  music.on("back", () => (said.textContent = "The music is back."));
  await music.play({ name: nameOfMine(), ...SCORE });
  music.state("calm"); // one that was found again may be in another
  start.hidden = true;
  awake();
}

/** One music for this browser: it is found again after a reload, and after the server was started again. */
function nameOfMine() {
  const name = localStorage.getItem("lantern") ?? `lantern-${Math.random().toString(36).slice(2, 10)}`;
  localStorage.setItem("lantern", name);
  return name;
}

/** The play is in another state: so is the music, by the way that the score says. */
function enter(state) {
  if (game.state === state) return;
  game.state = state;
  game.music.state(state);
}

/** How near the nearest shade is, 0 … 1; sent as often as it is known. */
function tellDanger() {
  const nearest = Math.min(...game.shades.map(distance), SEES_CELLS);
  game.music.parameter("danger", 1 - nearest / SEES_CELLS);
}

function onBeat(beat) {
  game.beat = beat;
  for (const shade of game.shades) step(shade);
}

function onBar({ bar }) {
  if (game.state !== "victory") return;
  game.calmFrom = Math.min(game.calmFrom, bar + VICTORY_BARS);
  if (bar >= game.calmFrom) awake();
}

/** How far the beat is: 1 on it, falling to 0 until the next. */
function pulse() {
  if (!game.beat) return 0;
  const since_s = game.music.context.currentTime - game.beat.time;
  return Math.max(0, 1 - (since_s * game.beat.bpm) / 60);
}

/** Whether now is on a beat, the one before or the one to come. */
function isOnBeat() {
  if (!game.beat) return false;
  const beat_s = 60 / game.beat.bpm;
  const since_s = (game.music.context.currentTime - game.beat.time) % beat_s;
  return Math.min(since_s, beat_s - since_s) < ON_BEAT_S;
}

// --- play -------------------------------------------------------------------------------------------------------------

const distance = ({ x, y }) => Math.hypot(x - game.hero.x, y - game.hero.y);

function awake() {
  game.shades = Array.from({ length: NUM_SHADES }, (_, index) => ({
    x: COLUMNS - 2 - (index % 2),
    y: 1 + 2 * index,
    isAwake: false,
  }));
  game.calmFrom = Infinity;
  enter("calm");
}

/** One step, on the beat: towards the hero once it has been seen. */
function step(shade) {
  if (distance(shade) < SEES_CELLS) shade.isAwake = true;
  if (!shade.isAwake) return;
  enter("combat");
  const [dx, dy] = [game.hero.x - shade.x, game.hero.y - shade.y];
  if (Math.abs(dx) > Math.abs(dy)) shade.x += Math.sign(dx);
  else shade.y += Math.sign(dy);
  if (distance(shade) < 0.7) {
    game.hero = { x: 3, y: 5 };
    game.shades.forEach((each) => (each.isAwake = false));
    game.music.stinger("fail");
    enter("calm");
  }
}

/** Drives off what is near: for good on the beat, else by a step. */
function swing() {
  if (!game.shades.length) return;
  game.swing = 1;
  const near = game.shades.filter((shade) => distance(shade) < REACH_CELLS);
  if (!isOnBeat()) return near.forEach((shade) => (shade.x = Math.min(COLUMNS - 1, shade.x + 2)));
  game.shades = game.shades.filter((shade) => !near.includes(shade));
  if (near.length) game.music.hit({ strength: 0.6 });
  if (!game.shades.length) enter("victory");
}

function walk(seconds) {
  let [dx, dy] = [0, 0];
  for (const key of game.held) [dx, dy] = [dx + KEYS[key][0], dy + KEYS[key][1]];
  if (game.target) [dx, dy] = [game.target.x - game.hero.x, game.target.y - game.hero.y];
  const length = Math.hypot(dx, dy);
  if (length < 0.1) return;
  const way = Math.min(WALK_CELLS_PER_S * seconds, game.target ? length : Infinity) / length;
  game.hero.x = Math.min(COLUMNS - 1, Math.max(0, game.hero.x + dx * way));
  game.hero.y = Math.min(ROWS - 1, Math.max(0, game.hero.y + dy * way));
}

// --- the page ---------------------------------------------------------------------------------------------------------

let before_ms = 0;

function frame(now_ms) {
  requestAnimationFrame(frame);
  const seconds = Math.min(0.1, (now_ms - before_ms) / 1000);
  before_ms = now_ms;
  if (game.music?.phase === "playing" || game.shades.length) {
    walk(seconds);
    tellDanger();
  }
  game.swing = Math.max(0, game.swing - 4 * seconds);
  draw();
}

function draw() {
  const beat = game.music?.context ? pulse() : 0;
  pen.fillStyle = { calm: "#1d2433", combat: "#331b22", victory: "#33301b" }[game.state];
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "#ffffff";
  pen.globalAlpha = 0.03 + 0.05 * beat;
  for (let x = 0; x < COLUMNS; x++) for (let y = x % 2; y < ROWS; y += 2) pen.fillRect(x * CELL, y * CELL, CELL, CELL);
  const { x, y } = game.hero;
  disc(x, y, CELL * (REACH_CELLS - 0.3 + 0.3 * beat), "#e0a33c", 0.12 + 0.25 * game.swing);
  disc(x, y, CELL * (0.26 + 0.06 * beat), "#ffd98a", 1);
  for (const shade of game.shades)
    disc(shade.x, shade.y, CELL * (0.3 + 0.12 * beat), shade.isAwake ? "#d4526e" : "#6b6f8f", 1);
}

function disc(x, y, radius, colour, alpha) {
  pen.globalAlpha = alpha;
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc((x + 0.5) * CELL, (y + 0.5) * CELL, radius, 0, 2 * Math.PI);
  pen.fill();
  pen.globalAlpha = 1;
}

function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * COLUMNS - 0.5,
    y: ((event.clientY - box.top) / box.height) * ROWS - 0.5,
  };
}

start.addEventListener("click", () =>
  begin().catch((error) => {
    start.disabled = false;
    said.textContent = `No music from ${SERVER} (${error.message}). Start it: undersong serve`;
  }),
);
addEventListener("keydown", (event) => {
  if (event.key in KEYS) game.held.add(event.key);
  else if (event.key === " " && game.music && !event.repeat) swing();
  else return;
  event.preventDefault();
});
addEventListener("keyup", ({ key }) => game.held.delete(key));
canvas.addEventListener("pointerdown", (event) => {
  game.target = placeOf(event);
  if (game.music) swing();
});
canvas.addEventListener("pointermove", (event) => event.buttons && (game.target = placeOf(event)));
canvas.addEventListener("pointerup", () => (game.target = null));
requestAnimationFrame(frame);
