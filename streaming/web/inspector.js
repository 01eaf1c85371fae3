/* The fields of what is selected, and of the piece. In: a piece and a selection; out: changed fields, by callback.
   Remembers its elements. */

import { fill, make } from "./elements.js";
import { nameOf, t } from "./i18n.js";
import { grouped, wordsOfReading } from "./naming.js";
import { DRAWN_FIELDS, HOWS, LOUDNESS } from "./piece.js";

const RANGES = { energy: [0, 1], valence: [-1, 1], tension: [0, 1] };
const OVERS = [null, 0, 0.5, 1, 2, 4, "1 bar", "2 bars", "4 bars"];
const IN_WORDS = "";
const GOES_ON = "-";

const $ = (selector) => document.querySelector(selector);

export class Inspector {
  #rows = {};
  #moods = [];
  #styles = [];
  /** Words are wanted for the section selected, and there are none yet. */
  #asksWords = false;

  /** `on`: { change(list, index, fields), place(list, index, at), remove(list, index), piece(fields) }. */
  constructor(on) {
    this.on = on;
    for (const field of DRAWN_FIELDS) this.#buildRow(field);
    $("#section-mood").addEventListener("change", ({ target }) => this.#chooseMood(target.value));
    $("#section-prompt").addEventListener("change", ({ target }) => {
      const prompt = target.value.trim();
      if (prompt) this.#set({ prompt, mood: undefined });
    });
    $("#section-over").addEventListener("change", ({ target }) =>
      this.#set({ over: JSON.parse(target.value) ?? undefined }),
    );
    $("#hit-strength").addEventListener("input", ({ target }) => this.#set({ strength: target.valueAsNumber }));
    $("#place").addEventListener("change", ({ target }) => {
      const { list, index } = this.selected;
      if (Number.isFinite(target.valueAsNumber)) this.on.place(list, index, target.valueAsNumber);
    });
    $("#remove").addEventListener("click", () => this.on.remove(this.selected.list, this.selected.index));
    $("#duration").addEventListener("change", ({ target }) => {
      if (target.valueAsNumber >= 1) this.on.piece({ duration: target.valueAsNumber });
    });
    for (const button of document.querySelectorAll("[data-seconds]")) {
      button.addEventListener("click", () => this.on.clip(Number(button.dataset.seconds)));
    }
    $("#ending").addEventListener("change", ({ target }) => this.on.piece({ ending: target.value }));
    $("#loudness").addEventListener("change", ({ target }) => this.on.piece({ lufs: JSON.parse(target.value) }));
    $("#duck").addEventListener("change", ({ target }) => this.on.piece({ ducks: target.checked }));
  }

  showCatalogue(moods, styles) {
    [this.#moods, this.#styles] = [moods, styles];
    this.translate();
  }

  translate() {
    const groups = grouped(this.#moods).map(({ group, moods }) =>
      make("optgroup", { label: t(`group_${group}`) }, ...moods.map((mood) => new Option(nameOf(mood), mood.name))),
    );
    $("#section-mood").replaceChildren(
      new Option(t("goesOn"), GOES_ON),
      new Option(t("inOwnWords"), IN_WORDS),
      ...groups,
    );
    $("#section-over").replaceChildren(...OVERS.map((over) => new Option(overName(over), JSON.stringify(over))));
    $("#ending").replaceChildren(...HOWS.map((how) => new Option(t(`how_${how}`), how)));
    $("#loudness").replaceChildren(
      ...LOUDNESS.map(
        (lufs) => new Option(t(lufs === null ? "loudness_live" : `loudness_${-lufs}`), JSON.stringify(lufs)),
      ),
    );
  }

  /** `values`: of each section in full; `meaning(section)`: of its mood or prompt; `hasPicture`: the length is its. */
  show(piece, selected, values, meaning, hasPicture) {
    if (this.selected?.list !== selected.list || this.selected.index !== selected.index) this.#asksWords = false;
    this.selected = selected;
    const { list, index } = selected;
    const item = piece[list][index];
    $("#inspector-title").textContent = t(list === "hits" ? "hitName" : "sectionTitle", { number: index + 1 });
    $("#of-section").hidden = list === "hits";
    $("#of-hit").hidden = list !== "hits";
    if (list === "hits") this.#showHit(item);
    else this.#showSection(item, index, values[index], meaning(item));
    set($("#place"), item.at);
    $("#place").disabled = $("#remove").disabled = list === "sections" && index === 0;
    set($("#duration"), piece.duration);
    for (const each of [$("#duration"), ...document.querySelectorAll("[data-seconds]")]) each.disabled = hasPicture;
    $("#ending").value = piece.ending;
    $("#loudness [value=null]").hidden = hasPicture;
    $("#loudness").value = JSON.stringify(piece.lufs);
    if (!$("#loudness").value) $("#loudness").append(new Option(`${piece.lufs} LUFS`, piece.lufs, true, true));
    $("#duck").checked = piece.ducks;
  }

  #showHit({ strength = 1 }) {
    $("#hit-strength").value = strength;
    $("#of-hit output").textContent = `${Math.round(100 * strength)} %`;
    fill($("#hit-strength"));
  }

  #showSection(section, index, values, meaning) {
    const mood = section.prompt || this.#asksWords ? IN_WORDS : (section.mood ?? GOES_ON);
    $("#section-mood").value = mood;
    $(`#section-mood option[value="${GOES_ON}"]`).disabled = index === 0;
    $("#words-row").hidden = mood !== IN_WORDS;
    set($("#section-prompt"), section.prompt ?? "");
    $("#section-heard").textContent = section.prompt && meaning ? this.#wordsOf(meaning, section.prompt) : "";
    $("#section-over").value = JSON.stringify(section.over ?? null);
    if (!$("#section-over").value) {
      $("#section-over").append(new Option(overName(section.over), JSON.stringify(section.over), true, true));
    }
    for (const field of DRAWN_FIELDS) {
      const { label, range, output, auto } = this.#rows[field];
      range.value = values[field];
      range.classList.toggle("loose", section[field] === undefined);
      fill(range);
      label.textContent = t(field);
      output.textContent = values[field].toFixed(2);
      auto.textContent = t("auto");
      auto.setAttribute("aria-pressed", section[field] === undefined);
      auto.setAttribute("aria-label", `${t(field)}: ${t("auto")}`);
    }
  }

  #wordsOf(meaning, prompt) {
    return meaning.understood ? wordsOfReading(meaning, this.#moods, this.#styles) : t("nothingHeard", { prompt });
  }

  #chooseMood(mood) {
    this.#asksWords = mood === IN_WORDS;
    const loose = Object.fromEntries(DRAWN_FIELDS.map((field) => [field, undefined]));
    if (mood === IN_WORDS) {
      $("#words-row").hidden = false;
      $("#section-prompt").focus();
    } else if (mood === GOES_ON) {
      this.#set({ ...loose, mood: undefined, prompt: undefined });
    } else {
      this.#set({ ...loose, mood, prompt: undefined });
    }
  }

  #set(fields) {
    this.on.change(this.selected.list, this.selected.index, fields);
  }

  #buildRow(field) {
    const [min, max] = RANGES[field];
    const id = `section-${field}`;
    const range = make("input", { type: "range", id, min, max, step: 0.01 });
    const auto = make("button", { type: "button", className: "quiet toggle" });
    const row = { label: make("label", { htmlFor: id }), range, output: make("output", { className: "figure" }), auto };
    range.addEventListener("input", () => this.#set({ [field]: range.valueAsNumber }));
    auto.addEventListener("click", () => {
      const isLoose = auto.getAttribute("aria-pressed") === "true";
      this.#set({ [field]: isLoose ? range.valueAsNumber : undefined });
    });
    this.#rows[field] = row;
    $("#section-fields").append(make("div", { className: "row" }, ...Object.values(row)));
  }
}

function overName(over) {
  if (over == null) return t("overNatural");
  if (typeof over === "string") return over.replace(/(bars?|beats?)$/, (unit) => t(`unit_${unit.replace(/s$/, "")}`));
  return over === 0 ? t("overAtOnce") : t("overSeconds", { s: over });
}

/** A field that somebody is writing in keeps what is written. */
function set(field, value) {
  if (document.activeElement !== field) field.value = value;
}
