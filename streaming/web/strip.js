/* The timeline as it is drawn and edited by hand. In: a piece, what was found and planned, the play head; out: edits
   and places, by callback. Remembers its elements, what is selected, and a drag while it lasts.

   A handle is a slider for the keyboard too: arrows move it by a frame of the picture, with Shift by a second. */

import { colourOf } from "./colour.js";
import { make } from "./elements.js";
import { t } from "./i18n.js";
import { frameOf, onFrame, overOf } from "./piece.js";

const RULER_PX = 22;
const WAVE_PX = 84;
const MOOD_PX = 132;
const BEAT_PX = 26;
const HEIGHT_PX = RULER_PX + WAVE_PX + MOOD_PX + BEAT_PX;
const MOOD_TOP_PX = RULER_PX + WAVE_PX;
const SNAP_PX = 9;
const MOST_PX = 16_000;
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800];
const LEVEL_INSET_PX = 14;
const RANGE_OF = { energy: [0, 1], valence: [-1, 1], tension: [0, 1] };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** `83.5` as "1:23.50". */
export function timeName(seconds, digits = 2) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
}

export class Strip {
  #piece = null;
  #shown = {};
  #selected = { list: "sections", index: 0 };
  #drag = null;
  #position_s = 0;

  /** `on`: { scrub(seconds, isOver), select(list, index), move(list, index, at), level(index, value),
   *  remove(list, index), add(list, at) }; `move` answers the index that the moved one has now. */
  constructor(element, on) {
    this.element = element;
    this.content = element.querySelector(".content");
    this.canvas = element.querySelector("canvas");
    this.sections = element.querySelector(".sections");
    this.hits = element.querySelector(".hits");
    this.head = element.querySelector(".playhead");
    this.on = on;
    this.snaps = true;
    this.content.style.height = `${HEIGHT_PX}px`;
    this.content.addEventListener("pointerdown", (event) => this.#pressed(event));
    this.content.addEventListener("pointermove", (event) => this.#dragged(event));
    for (const name of ["pointerup", "pointercancel"]) {
      this.content.addEventListener(name, (event) => this.#released(event));
    }
    this.content.addEventListener("dblclick", (event) => this.#doubled(event));
    this.content.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(this.content);
  }

  /** `zoom` 0 … 1: from the whole piece to a few seconds of it. */
  set zoom(zoom) {
    const least = this.element.clientWidth;
    const most = clamp(((this.#piece?.duration ?? 30) / 4) * least, least, MOST_PX);
    this.content.style.width = zoom > 0 ? `${Math.round(least * (most / least) ** zoom)}px` : "100%";
    this.#follow();
  }

  /** `shown`: { field, values (of each section), names (of each), wave, beats, bars, composed_s, selected }. */
  show(piece, shown) {
    this.#piece = piece;
    this.#shown = { ...this.#shown, ...shown };
    this.#selected = shown.selected ?? this.#selected;
    this.#showSections();
    this.#showHits();
    this.showPosition(this.#position_s);
    this.draw();
  }

  showPosition(position_s) {
    this.#position_s = position_s;
    if (!this.#piece) return;
    this.head.style.left = `${this.#share(position_s)}%`;
    this.head.setAttribute("aria-valuemin", 0);
    this.head.setAttribute("aria-valuemax", this.#piece.duration);
    this.head.setAttribute("aria-valuenow", position_s.toFixed(2));
    this.head.setAttribute("aria-valuetext", timeName(position_s));
  }

  /** Keep the play head in view. */
  #follow() {
    const x = (this.#position_s / (this.#piece?.duration ?? 1)) * this.content.clientWidth;
    const { scrollLeft, clientWidth } = this.element;
    if (x < scrollLeft || x > scrollLeft + clientWidth) this.element.scrollLeft = x - clientWidth / 2;
  }

  follow() {
    if (!this.#drag) this.#follow();
  }

  // --- elements ---------------------------------------------------------------------------------------------------

  #share(at) {
    return (100 * at) / this.#piece.duration;
  }

  /** Where a value of the drawn field lies, in pixels from the top of the content. */
  #height(value) {
    const [low, high] = RANGE_OF[this.#shown.field];
    const room = MOOD_PX - 2 * LEVEL_INSET_PX - 22;
    return MOOD_TOP_PX + 22 + LEVEL_INSET_PX + room * (1 - (value - low) / (high - low));
  }

  #valueAt(y) {
    const [low, high] = RANGE_OF[this.#shown.field];
    const room = MOOD_PX - 2 * LEVEL_INSET_PX - 22;
    const share = 1 - (y - MOOD_TOP_PX - 22 - LEVEL_INSET_PX) / room;
    return Number(clamp(low + share * (high - low), low, high).toFixed(2));
  }

  #endOf(index) {
    return this.#piece.sections[index + 1]?.at ?? this.#piece.duration;
  }

  #isSelected(list, index) {
    return this.#selected?.list === list && this.#selected.index === index;
  }

  #showSections() {
    const { sections } = this.#piece;
    const [low, high] = RANGE_OF[this.#shown.field];
    fit(this.sections, sections.length, () => makeSection());
    sections.forEach((section, index) => {
      const [block, border, level] = this.sections.children[index].children;
      const values = this.#shown.values[index];
      const [begin, end] = [this.#share(section.at), this.#share(this.#endOf(index))];
      const name = this.#shown.names[index];
      const { hue, chroma } = colourOf(values);
      Object.assign(block.style, {
        left: `${begin}%`,
        width: `${end - begin}%`,
        top: `${MOOD_TOP_PX}px`,
        height: `${MOOD_PX}px`,
      });
      block.style.setProperty("--hue", hue);
      block.style.setProperty("--chroma", chroma);
      block.firstChild.textContent = name;
      block.dataset.index = border.dataset.index = level.dataset.index = index;
      block.setAttribute("aria-pressed", this.#isSelected("sections", index));
      block.setAttribute("aria-label", t("sectionName", { number: index + 1, name, at: timeName(section.at) }));
      border.hidden = index === 0;
      Object.assign(border.style, { left: `${begin}%`, top: `${MOOD_TOP_PX}px`, height: `${MOOD_PX}px` });
      describe(
        border,
        t("borderName", { number: index + 1, name }),
        section.at,
        0,
        this.#piece.duration,
        timeName(section.at),
      );
      const value = values[this.#shown.field];
      Object.assign(level.style, { left: `${(begin + end) / 2}%`, top: `${this.#height(value)}px` });
      const label = t("levelName", { field: t(this.#shown.field), number: index + 1 });
      describe(level, label, value, low, high, value.toFixed(2));
      level.setAttribute("aria-orientation", "vertical");
    });
  }

  #showHits() {
    const { hits } = this.#piece;
    fit(this.hits, hits.length, () => make("button", { type: "button", className: "hit", role: "slider" }, make("i")));
    hits.forEach((hit, index) => {
      const handle = this.hits.children[index];
      handle.dataset.index = index;
      Object.assign(handle.style, { left: `${this.#share(hit.at)}%`, top: `${RULER_PX}px`, height: `${WAVE_PX}px` });
      handle.style.setProperty("--strength", hit.strength ?? 1);
      handle.classList.toggle("selected", this.#isSelected("hits", index));
      describe(handle, t("hitName", { number: index + 1 }), hit.at, 0, this.#piece.duration, timeName(hit.at));
    });
  }

  // --- hands ------------------------------------------------------------------------------------------------------

  #placeOf(event) {
    const box = this.content.getBoundingClientRect();
    return clamp(((event.clientX - box.left) / box.width) * this.#piece.duration, 0, this.#piece.duration);
  }

  /** On a frame of the picture; on a cut where one is near and that is wanted. */
  #snapped(at) {
    const reach_s = (SNAP_PX / this.content.clientWidth) * this.#piece.duration;
    const near = this.#piece.cuts
      .map((cut) => ({ cut: cut.at, away: Math.abs(cut.at - at) }))
      .sort((a, b) => a.away - b.away)[0];
    return this.snaps && near && near.away < reach_s ? near.cut : onFrame(this.#piece, at);
  }

  #pressed(event) {
    if (event.button > 0 || !this.#piece) return;
    const handle = event.target.closest(".border, .level, .hit, .section");
    const kind = handle?.classList[0] ?? "scrub";
    const index = Number(handle?.dataset.index);
    if (kind !== "section") {
      this.content.setPointerCapture(event.pointerId);
      event.preventDefault();
      handle?.focus({ preventScroll: true });
    }
    const list = kind === "hit" ? "hits" : "sections";
    if (kind !== "scrub") this.on.select(list, index);
    if (kind === "section") return;
    this.#drag = { kind, index, list };
    if (kind === "scrub") this.on.scrub(this.#placeOf(event), false);
  }

  #dragged(event) {
    if (!this.#drag) return;
    const { kind, index, list } = this.#drag;
    if (kind === "scrub") return this.on.scrub(this.#placeOf(event), false);
    if (kind === "level") {
      const y = event.clientY - this.content.getBoundingClientRect().top;
      return this.on.level(index, this.#valueAt(y));
    }
    this.#drag.index = this.on.move(list, index, this.#snapped(this.#placeOf(event)));
  }

  #released(event) {
    if (this.#drag?.kind === "scrub") this.on.scrub(this.#placeOf(event), true);
    this.#drag = null;
  }

  #doubled(event) {
    const y = event.clientY - this.content.getBoundingClientRect().top;
    const at = this.#snapped(this.#placeOf(event));
    if (event.target.closest(".border, .level, .hit")) return;
    this.on.add(y > MOOD_TOP_PX ? "sections" : "hits", at);
  }

  #key(event) {
    const handle = event.target.closest(".border, .level, .hit, .section, .playhead");
    if (!handle) return;
    const kind = handle.classList[0];
    const index = Number(handle.dataset.index);
    const list = kind === "hit" ? "hits" : "sections";
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      if (kind !== "playhead" && kind !== "level") this.on.remove(list, index);
      return;
    }
    if (kind === "section" && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      return this.on.select(list, index);
    }
    const way = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way || kind === "section") return this.#leap(event, kind);
    event.preventDefault();
    if (kind === "level") {
      const [low, high] = RANGE_OF[this.#shown.field];
      const value = this.#shown.values[index][this.#shown.field] + way * (event.shiftKey ? 0.2 : 0.05);
      return this.on.level(index, Number(clamp(value, low, high).toFixed(2)));
    }
    const step = event.shiftKey ? 1 : frameOf(this.#piece);
    if (kind === "playhead") return this.on.scrub(clamp(this.#position_s + way * step, 0, this.#piece.duration), true);
    const place = this.#piece[list][index].at;
    const moved = this.on.move(list, index, onFrame(this.#piece, place + way * step));
    (list === "hits" ? this.hits.children[moved] : this.sections.children[moved].children[1]).focus();
  }

  #leap(event, kind) {
    const to = { Home: 0, End: this.#piece.duration }[event.key];
    if (kind !== "playhead" || to === undefined) return;
    event.preventDefault();
    this.on.scrub(to, true);
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  /** What no hand takes hold of: ruler, wave, speech, cuts, the curve, beats. */
  draw() {
    if (!this.#piece || !this.#shown.values) return;
    const { clientWidth: width } = this.content;
    const scale = Math.min(window.devicePixelRatio, MOST_PX / Math.max(1, width));
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(HEIGHT_PX * scale);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(this.canvas);
    const colours = { ink: style.color, accent: style.accentColor, line: style.borderBottomColor };
    const x = (at) => (at / this.#piece.duration) * width;
    this.#drawRuler(pen, x, width, colours);
    this.#drawWave(pen, x, width, colours);
    this.#drawCuts(pen, x, colours);
    this.#drawCurve(pen, x, colours);
    this.#drawBeats(pen, x, width, colours);
  }

  #drawRuler(pen, x, width, { ink, accent, line }) {
    const { duration } = this.#piece;
    const step = TICKS_S.find((each) => x(each) > 64) ?? TICKS_S.at(-1);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = line;
    pen.fillRect(0, RULER_PX - 1, width, 1);
    for (let number = 0; number * step < duration; number++) {
      const at = number * step;
      pen.fillStyle = ink;
      pen.globalAlpha = 0.75;
      pen.fillRect(x(at), RULER_PX - 6, 1, 5);
      if (x(at) < width - 40) pen.fillText(timeName(at, step < 1 ? 1 : 0), x(at) + 4, 12);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = accent;
    pen.fillRect(0, RULER_PX - 3, x(Math.min(duration, this.#shown.composed_s ?? 0)), 2);
  }

  /** The clip's sound; where somebody speaks it stands on a ground of its own, with a line below. */
  #drawWave(pen, x, width, { ink, accent }) {
    const middle = RULER_PX + WAVE_PX / 2;
    for (const [begin, end] of this.#piece.speech) {
      pen.fillStyle = accent;
      pen.globalAlpha = 0.14;
      pen.fillRect(x(begin), RULER_PX, x(end) - x(begin), WAVE_PX);
      pen.globalAlpha = 0.9;
      pen.fillRect(x(begin), RULER_PX + WAVE_PX - 3, x(end) - x(begin), 3);
    }
    pen.fillStyle = ink;
    pen.globalAlpha = 0.45;
    const wave = this.#shown.wave ?? [];
    for (let column = 0; column < width && wave.length; column++) {
      const [first, last] = [column, column + 1].map((each) => Math.floor((each / width) * wave.length));
      let [low, high] = [0, 0];
      for (const [least, most] of wave.slice(first, Math.max(first + 1, last))) {
        [low, high] = [Math.min(low, least), Math.max(high, most)];
      }
      const half = WAVE_PX / 2 - 6;
      pen.fillRect(column, middle - high * half, 1, Math.max(1, (high - low) * half));
    }
    pen.globalAlpha = 1;
  }

  #drawCuts(pen, x, { ink }) {
    pen.fillStyle = ink;
    for (const { at, weight = 1 } of this.#piece.cuts) {
      pen.globalAlpha = 0.3 + 0.5 * weight;
      pen.fillRect(x(at), RULER_PX, 1, WAVE_PX);
      pen.beginPath();
      pen.moveTo(x(at) - 4, RULER_PX);
      pen.lineTo(x(at) + 5, RULER_PX);
      pen.lineTo(x(at) + 0.5, RULER_PX + 6);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  #drawCurve(pen, x, { accent }) {
    const { sections, duration } = this.#piece;
    const { field, values } = this.#shown;
    pen.beginPath();
    sections.forEach((section, index) => {
      const y = this.#height(values[index][field]);
      if (index === 0) pen.moveTo(0, y);
      else pen.lineTo(x(section.at), this.#height(values[index - 1][field]));
      pen.lineTo(x(Math.min(this.#endOf(index), section.at + overOf(section))), y);
    });
    pen.lineTo(x(duration), this.#height(values.at(-1)[field]));
    pen.strokeStyle = accent;
    pen.lineWidth = 2;
    pen.stroke();
  }

  #drawBeats(pen, x, width, { ink, line }) {
    const top = MOOD_TOP_PX + MOOD_PX;
    const { beats = [], bars = [] } = this.#shown;
    pen.fillStyle = line;
    pen.fillRect(0, top, width, 1);
    pen.fillStyle = ink;
    pen.globalAlpha = 0.35;
    if (width / Math.max(1, beats.length) > 3) for (const at of beats) pen.fillRect(x(at), top + 3, 1, 6);
    pen.globalAlpha = 0.8;
    const every = Math.ceil((26 * bars.length) / Math.max(1, width));
    bars.forEach((at, index) => {
      pen.fillRect(x(at), top + 3, 1, 12);
      if (index % Math.max(1, every) === 0) pen.fillText(index + 1, x(at) + 3, top + 20);
    });
    pen.globalAlpha = 1;
  }
}

function describe(handle, label, value, low, high, text) {
  handle.setAttribute("aria-label", label);
  handle.setAttribute("aria-valuemin", low);
  handle.setAttribute("aria-valuemax", high);
  handle.setAttribute("aria-valuenow", value);
  handle.setAttribute("aria-valuetext", text);
}

const makeSection = () =>
  make(
    "div",
    {},
    make("button", { type: "button", className: "section" }, make("span")),
    make("button", { type: "button", className: "border", role: "slider" }),
    make("button", { type: "button", className: "level", role: "slider" }, make("i")),
  );

/** As many children as wanted; those that stay keep what they are, a focus too. */
function fit(parent, count, build) {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) parent.append(build());
}
