/* The sliders, chips and lists beside the pad. In: values to show; out: fields set by the listener, by callback.
   Remembers its elements only. */

import { colourOf } from "./colour.js";
import { fill, make } from "./elements.js";
import { keyName, nameOf, t } from "./i18n.js";
import { grouped } from "./naming.js";

const MOST_STYLES = 3;
const LAYERS = ["drums", "bass", "harmony", "texture", "lead"];
const TONICS = ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const SCALES = ["major", "minor", "dorian", "lydian", "mixolydian", "phrygian", "harmonic minor"];
const RANGES = {
  bpm: { min: 40, max: 240, step: 1, idle: 90, text: (value) => Math.round(value) },
  brightness: { min: 0, max: 1, step: 0.01, idle: 0.5, text: percent },
  density: { min: 0, max: 1, step: 0.01, idle: 0.5, text: percent },
};

function percent(value) {
  return `${Math.round(value * 100)} %`;
}

const decibels = (gain_db) => `${gain_db > 0 ? "+" : gain_db < 0 ? "−" : ""}${Math.abs(gain_db)} dB`;

export class Controls {
  #styles = [];
  #rows = {};
  #faders = {};
  #isMixing = false;

  /** `onSet(fields)` for every change; `onPick(mood)` for a preset. */
  constructor({ onSet, onPick }) {
    this.onSet = onSet;
    this.onPick = onPick;
    this.tension = document.querySelector("#tension");
    this.tension.addEventListener("input", () => this.onSet({ tension: this.tension.valueAsNumber }));
    this.#buildFine();
    this.#buildLayers();
  }

  /** The chips and the gallery, from GET /v1/moods. */
  showCatalogue(moods, styles) {
    this.#styles = styles;
    document.querySelector("#styles").replaceChildren(
      ...styles.map((style) => {
        const chip = make("button", { type: "button", dataset: { style: style.name } }, make("span"), make("small"));
        chip.addEventListener("click", () => this.#toggleStyle(style.name));
        return chip;
      }),
    );
    document.querySelector("#moods").replaceChildren(
      ...grouped(moods).map(({ group, moods: members }) => {
        const heading = make("h3", { id: `group-${group}`, dataset: { group } });
        const list = make("div", {}, ...members.map((mood) => this.#moodButton(mood)));
        return make("div", { className: "group", role: "group", aria: { labelledby: heading.id } }, heading, list);
      }),
    );
    this.moods = moods;
  }

  #moodButton(mood) {
    const button = make("button", { type: "button", dataset: { mood: mood.name } }, make("i"), make("span"));
    const { hue, chroma } = colourOf(mood);
    button.style.setProperty("--hue", hue);
    button.style.setProperty("--chroma", chroma);
    button.addEventListener("click", () => this.onPick(mood));
    return button;
  }

  /** `values` as asked (null: the mood decides), `sounding` as last reported by the server, if at all. */
  show(values, activeMood, sounding = {}) {
    this.values = values;
    if (activeMood) this.#isMixing = false;
    this.tension.value = values.tension;
    this.tension.parentElement.querySelector("output").textContent = percent(values.tension);
    this.#showStyles(values.style);
    this.#showFine(values, sounding);
    this.#showLayers(values.layers);
    for (const heading of document.querySelectorAll("[data-group]")) {
      heading.textContent = t(`group_${heading.dataset.group}`);
    }
    for (const mood of this.moods ?? []) {
      const button = document.querySelector(`[data-mood="${CSS.escape(mood.name)}"]`);
      button.lastChild.textContent = nameOf(mood);
      button.setAttribute("aria-pressed", mood === activeMood);
    }
    document.querySelectorAll("input[type=range]").forEach(fill);
  }

  // --- styles -----------------------------------------------------------------------------------------------------

  #toggleStyle(name) {
    const chosen = Object.keys(this.values.style);
    const others = chosen.filter((other) => other !== name);
    if (chosen.includes(name) && !others.length) return;
    const next = chosen.includes(name) ? others : [...others, name].slice(-MOST_STYLES);
    this.#isMixing = true;
    this.onSet({ style: Object.fromEntries(next.map((each) => [each, Number((1 / next.length).toFixed(3))])) });
  }

  #showStyles(weights) {
    const sum = Object.values(weights).reduce((total, weight) => total + weight, 0) || 1;
    const chosen = Object.keys(weights);
    for (const style of this.#styles) {
      const chip = document.querySelector(`[data-style="${CSS.escape(style.name)}"]`);
      const isOn = style.name in weights;
      chip.firstChild.textContent = nameOf(style);
      chip.lastChild.textContent = isOn && chosen.length > 1 ? percent(weights[style.name] / sum) : "";
      chip.setAttribute("aria-pressed", isOn);
    }
    this.#showBlend(weights, chosen);
  }

  /**
   * One fader a style as soon as the listener mixes two; built anew only when the styles change: a drag goes on.
   */
  #showBlend(weights, chosen) {
    const blend = document.querySelector("#blend");
    const names = this.#isMixing && chosen.length > 1 ? chosen : [];
    if (blend.dataset.names !== names.join()) {
      blend.dataset.names = names.join();
      blend.replaceChildren(
        ...names.map((name) => {
          const range = make("input", { type: "range", min: 0.05, max: 1, step: 0.01 });
          range.addEventListener("input", () =>
            this.onSet({ style: { ...this.values.style, [name]: range.valueAsNumber } }),
          );
          return make("label", { className: "row choice" }, make("span"), range);
        }),
      );
    }
    names.forEach((name, index) => {
      const row = blend.children[index];
      row.firstChild.textContent = nameOf(this.#styles.find((style) => style.name === name) ?? { name });
      row.lastChild.value = weights[name];
    });
  }

  // --- tempo, key, brightness, density ----------------------------------------------------------------------------

  #buildFine() {
    const fine = document.querySelector("#fine");
    for (const [name, { min, max, step }] of Object.entries(RANGES)) {
      const range = make("input", { type: "range", id: name, min, max, step });
      const auto = make("button", { type: "button", className: "quiet toggle" });
      range.addEventListener("input", () => this.onSet({ [name]: range.valueAsNumber }));
      auto.addEventListener("click", () =>
        this.onSet({ [name]: this.values[name] === null ? range.valueAsNumber : null }),
      );
      this.#rows[name] = {
        label: make("label", { htmlFor: name }),
        range,
        output: make("output", { className: "figure" }),
        auto,
      };
      fine.append(make("div", { className: "row" }, ...Object.values(this.#rows[name])));
    }
    const select = make("select", { id: "key" }, make("option", { value: "" }));
    for (const scale of SCALES) {
      select.append(
        make("optgroup", { label: scale }, ...TONICS.map((tonic) => make("option", { value: `${tonic} ${scale}` }))),
      );
    }
    select.addEventListener("change", () => this.onSet({ key: select.value || null }));
    this.#rows.key = { label: make("label", { htmlFor: "key" }), select };
    fine.prepend(make("div", { className: "row choice" }, ...Object.values(this.#rows.key)));
  }

  #showFine(values, sounding) {
    for (const [name, { idle, text }] of Object.entries(RANGES)) {
      const { label, range, output, auto } = this.#rows[name];
      const isAuto = values[name] === null;
      range.value = values[name] ?? sounding[name] ?? idle;
      label.textContent = t(name);
      output.textContent = isAuto && sounding[name] == null ? "" : text(range.valueAsNumber);
      auto.textContent = t("auto");
      auto.setAttribute("aria-pressed", isAuto);
      auto.setAttribute("aria-label", `${t(name)}: ${t("auto")}`);
      range.classList.toggle("loose", isAuto);
    }
    const { label, select } = this.#rows.key;
    label.textContent = t("key");
    const auto = values.key === null && sounding.key ? `${t("auto")} · ${keyName(sounding.key)}` : t("auto");
    for (const option of select.options) {
      const text = option.value ? keyName(option.value) : auto;
      if (option.textContent !== text) option.textContent = text;
    }
    if (select.value !== (values.key ?? "")) select.value = values.key ?? "";
  }

  // --- layers -----------------------------------------------------------------------------------------------------

  #buildLayers() {
    for (const layer of LAYERS) {
      const id = `layer-${layer}`;
      const range = make("input", { type: "range", id, min: -24, max: 6, step: 1 });
      const mute = make("button", { type: "button", className: "quiet toggle" });
      range.addEventListener("input", () => this.onSet({ layers: { [layer]: range.valueAsNumber } }));
      mute.addEventListener("click", () => {
        this.onSet({ layers: { [layer]: this.values.layers[layer] === "mute" ? range.valueAsNumber : "mute" } });
      });
      this.#faders[layer] = {
        label: make("label", { htmlFor: id }),
        range,
        output: make("output", { className: "figure" }),
        mute,
      };
      document
        .querySelector("#layers")
        .append(make("div", { className: "row" }, ...Object.values(this.#faders[layer])));
    }
  }

  #showLayers(layers) {
    for (const [layer, { label, range, output, mute }] of Object.entries(this.#faders)) {
      const isMuted = layers[layer] === "mute";
      if (!isMuted) range.value = layers[layer] ?? 0;
      range.classList.toggle("loose", isMuted);
      label.textContent = t(layer);
      output.textContent = decibels(range.valueAsNumber);
      mute.textContent = t("mute");
      mute.setAttribute("aria-pressed", isMuted);
      mute.setAttribute("aria-label", t("mutes", { layer: t(layer) }));
    }
  }
}
