/* The mood pad: valence to the right, energy upwards. In: pointer, keys, presets; out: points and presets, by callback.
   Remembers the point, the presets, where their names are put and which star is near.

   A star is a whole mood, with its styles. Passing over it only shows its name; letting go there, or Enter, picks it. */

import { colourOf } from "./colour.js";
import { nameOf, t } from "./i18n.js";
import { nearestStar, padDistance } from "./naming.js";

const INSET = 0.045;
const STEP = 0.05;
const PICK_PX = 14;
const FINGER_PX = 22;
const MARGIN_PX = 6;
const BETWEEN_PX = 3;
const HANDLE_PX = 17;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Where a point lies on the pad, 0 … 1 from its upper left corner; INSET keeps the extremes whole. */
const place = ({ valence, energy }) => ({ x: inset((valence + 1) / 2), y: inset(1 - energy) });
const inset = (share) => INSET + share * (1 - 2 * INSET);

/** Pairs of indices that join all points with the least length (Prim's algorithm). */
function spanningTree(moods) {
  const reached = new Set([0]);
  const edges = [];
  while (reached.size < moods.length) {
    let best = null;
    for (const from of reached) {
      for (let to = 0; to < moods.length; to++) {
        const length = padDistance(moods[from], moods[to]);
        if (!reached.has(to) && (!best || length < best.length)) best = { from, to, length };
      }
    }
    reached.add(best.to);
    edges.push([best.from, best.to]);
  }
  return edges;
}

export class Pad {
  point = { valence: 0, energy: 0.4 };
  #moods = [];
  #names = [];
  #press = null;
  #near = null;
  #title = "";

  /** `onMove(point)` while the listener moves it; `onPick(mood)` when they let go of it on the star of a preset. */
  constructor(element, { onMove, onPick }) {
    this.element = element;
    this.handle = element.querySelector("#pad-point");
    this.ring = element.querySelector("#pad-sounding");
    this.label = element.querySelector("#pad-name");
    this.onMove = onMove;
    this.onPick = onPick;
    element.addEventListener("pointerdown", (event) => this.#pressed(event));
    element.addEventListener("pointermove", (event) => this.#dragged(event));
    element.addEventListener("pointerup", (event) => this.#released(event));
    element.addEventListener("pointercancel", () => this.#letGo());
    element.addEventListener("pointerleave", () => this.#press ?? this.#approach(null));
    element.addEventListener("blur", () => this.#approach(null));
    element.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#placeNames()).observe(element);
  }

  /** Put the point somewhere without telling anyone; `title` is what the place is called. */
  show(point, title = this.#title) {
    this.#title = title;
    this.point = { valence: clamp(point.valence, -1, 1), energy: clamp(point.energy, 0, 1) };
    this.#put(this.handle, this.point);
    this.#clearNames();
    this.describe();
  }

  /** Where the music is now, while it glides towards the point; null hides it. */
  showSounding(point) {
    this.ring.hidden = !point || padDistance(point, this.point) < 0.02;
    if (point) this.#put(this.ring, point);
  }

  describe() {
    const { valence, energy } = this.point;
    const place = { name: this.#title, valence: valence.toFixed(2), energy: energy.toFixed(2) };
    const near = this.#near && nameOf(this.#near) !== this.#title ? ` ${t("padNear", { name: nameOf(this.#near) })}` : "";
    this.element.setAttribute("aria-valuenow", valence.toFixed(2));
    this.element.setAttribute("aria-valuetext", t("padValue", place) + near);
  }

  /** A ring spreads from the point: one beat. */
  pulse(isDownbeat) {
    this.handle.classList.remove("beat", "downbeat");
    void this.handle.offsetWidth;
    this.handle.classList.add(isDownbeat ? "downbeat" : "beat");
  }

  /** Draw the presets as a faint constellation. */
  showMoods(moods) {
    this.#moods = moods;
    const lines = this.element.querySelector(".constellation");
    lines.setAttribute("viewBox", "0 0 100 100");
    lines.setAttribute("preserveAspectRatio", "none");
    lines.replaceChildren(
      ...spanningTree(moods).map(([from, to]) => {
        const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        const [a, b] = [place(moods[from]), place(moods[to])];
        for (const [name, value] of Object.entries({ x1: a.x, y1: a.y, x2: b.x, y2: b.y })) {
          line.setAttribute(name, value * 100);
        }
        return line;
      }),
    );
    this.element.querySelector(".stars").replaceChildren(
      ...moods.map((mood) => {
        const star = document.createElement("span");
        star.className = "star";
        star.style.setProperty("--hue", colourOf(mood).hue);
        star.append(document.createElement("b"), document.createElement("em"));
        this.#put(star, mood);
        return star;
      }),
    );
    this.#placeNames();
    this.describe();
  }

  /** The point covers no name: those beside it step back. */
  #clearNames() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const { x, y } = place(this.point);
    const [left, top, side] = [x * width - HANDLE_PX, y * height - HANDLE_PX, 2 * HANDLE_PX];
    this.element.querySelectorAll(".star").forEach((star, index) => {
      const name = this.#names[index];
      star.classList.toggle("covered", name !== null && overlap(name, { x: left, y: top, w: side, h: side }));
    });
  }

  #put(element, point) {
    const { x, y } = place(point);
    element.style.setProperty("left", `${x * 100}%`);
    element.style.setProperty("top", `${y * 100}%`);
  }

  /** Give each star its name where there is room: right, left, above or below; a crowded one goes without. */
  #placeNames() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const stars = [...this.element.querySelectorAll(".star")];
    const centres = this.#moods.map((mood) => ({ x: place(mood).x * width, y: place(mood).y * height }));
    const origin = this.element.getBoundingClientRect();
    const axes = [...this.element.querySelectorAll(".axis")].map((axis) => axis.getBoundingClientRect());
    const taken = centres.map(({ x, y }) => ({ x: x - 4, y: y - 4, w: 8, h: 8 }));
    taken.push(...axes.map((box) => ({ x: box.x - origin.x, y: box.y - origin.y, w: box.width, h: box.height })));
    this.#approach(null);
    stars.forEach((star, index) => {
      const label = star.lastChild;
      label.hidden = false; // a hidden one has no size to measure
      label.textContent = nameOf(this.#moods[index]);
      const { width: w, height: h } = label.getBoundingClientRect(); // whole pixels would hide an overlap of half a one
      const { x, y } = centres[index];
      const offsets = [
        [8, -h / 2],
        [-w - 8, -h / 2],
        [-w / 2, -h - 6],
        [-w / 2, 6],
      ];
      const fits = ([dx, dy]) => {
        const box = { x: x + dx, y: y + dy, w, h };
        const isInside =
          box.x > MARGIN_PX && box.y > MARGIN_PX && box.x + w < width - MARGIN_PX && box.y + h < height - MARGIN_PX;
        return isInside && !taken.some((other, at) => at !== index && overlap(box, other));
      };
      const offset = offsets.find(fits);
      label.hidden = !offset;
      this.#names[index] = offset ? { x: x + offset[0], y: y + offset[1], w, h } : null;
      if (!offset) return;
      label.style.setProperty("left", `${offset[0]}px`);
      label.style.setProperty("top", `${offset[1]}px`);
      const [left, top] = [x + offset[0] - BETWEEN_PX, y + offset[1] - BETWEEN_PX];
      taken.push({ x: left, y: top, w: w + 2 * BETWEEN_PX, h: h + 2 * BETWEEN_PX });
    });
    this.#clearNames();
  }

  #pressed(event) {
    if (event.button > 0) return;
    this.element.setPointerCapture(event.pointerId);
    this.#press = { x: event.clientX, y: event.clientY, hasMoved: false };
    this.element.classList.add("held");
    this.#follow(event);
  }

  #dragged(event) {
    if (!this.#press) return this.#approach(this.#starUnder(event));
    if (Math.hypot(event.clientX - this.#press.x, event.clientY - this.#press.y) > 4) this.#press.hasMoved = true;
    if (this.#press.hasMoved) this.#follow(event);
  }

  #released(event) {
    if (!this.#press) return;
    const star = this.#starUnder(event);
    this.#letGo();
    if (star) this.onPick(star);
  }

  #letGo() {
    this.#press = null;
    this.element.classList.remove("held");
    this.#approach(null);
  }

  /** The preset whose star is within reach of the pointer, or null. */
  #starUnder(event) {
    const box = this.element.getBoundingClientRect();
    const nearest = nearestStar(this.#moods, this.#pointAt(event, box));
    if (!nearest) return null;
    const { x, y } = place(nearest.mood);
    const away_px = Math.hypot(event.clientX - box.left - x * box.width, event.clientY - box.top - y * box.height);
    return away_px < (event.pointerType === "touch" ? FINGER_PX : PICK_PX) ? nearest.mood : null;
  }

  /** Show the name of a star that would be picked here. */
  #approach(mood) {
    if (mood === this.#near) return;
    this.#near = mood;
    this.label.hidden = !mood;
    this.describe();
    if (!mood) return;
    this.label.textContent = nameOf(mood);
    this.#put(this.label, mood);
    const { x, y } = place(mood);
    this.label.dataset.side = `${y < 0.15 ? "below" : "above"} ${x < 0.15 ? "left" : x > 0.85 ? "right" : "middle"}`;
  }

  #follow(event) {
    this.#approach(this.#starUnder(event));
    this.#move(this.#pointAt(event, this.element.getBoundingClientRect()));
  }

  #pointAt(event, box) {
    const share = (offset, length) => (offset / length - INSET) / (1 - 2 * INSET);
    return {
      valence: clamp(share(event.clientX - box.left, box.width) * 2 - 1, -1, 1),
      energy: clamp(1 - share(event.clientY - box.top, box.height), 0, 1),
    };
  }

  #key(event) {
    if (event.key === "Enter" && this.#near) return this.onPick(this.#near);
    const step = event.shiftKey ? STEP / 5 : STEP;
    const { valence, energy } = this.point;
    const target = {
      ArrowLeft: { valence: valence - 2 * step, energy },
      ArrowRight: { valence: valence + 2 * step, energy },
      ArrowUp: { valence, energy: energy + step },
      ArrowDown: { valence, energy: energy - step },
      PageUp: { valence, energy: energy + 0.2 },
      PageDown: { valence, energy: energy - 0.2 },
      Home: { valence: -1, energy },
      End: { valence: 1, energy },
    }[event.key];
    if (!target) return;
    event.preventDefault();
    this.#move(target);
    const nearest = nearestStar(this.#moods, this.point);
    this.#approach(nearest && nearest.distance < STEP ? nearest.mood : null);
  }

  #move({ valence, energy }) {
    this.show({ valence: Number(valence.toFixed(4)), energy: Number(energy.toFixed(4)) });
    this.onMove(this.point);
  }
}

const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
