/* Moods of the listener's own. In: the fields that are asked; out: the same under a name, whenever it is picked.
   Remembers them in localStorage, [{ name, fields }], and what the file of an export says is what it keeps. */

import { make, saveText } from "./elements.js";
import { t } from "./i18n.js";

const KEY = "own-moods";
const MOST = 200;
const LONGEST_NAME = 60;
const FIELDS = [
  ...["mood", "prompt", "valence", "energy", "tension", "style"],
  ...["bpm", "key", "density", "brightness", "layers", "temperature", "novelty"],
];

/** What is a list of moods in `kept`, or null. */
function readMoods(kept) {
  if (!Array.isArray(kept) || kept.length > MOST) return null;
  const isMood = (each) => typeof each?.name === "string" && each.name.trim() && each.fields?.constructor === Object;
  if (!kept.every(isMood)) return null;
  return kept.map(({ name, fields }) => {
    const known = Object.entries(fields).filter(([field]) => FIELDS.includes(field));
    return { name: name.trim().slice(0, LONGEST_NAME), fields: Object.fromEntries(known) };
  });
}

export class OwnMoods {
  #moods = [];

  /** `onPick(fields)`; `asked()` answers the fields of now, `title()` what they are called; `onRefused(key)`. */
  constructor(element, { onPick, asked, title, onRefused }) {
    Object.assign(this, { element, onPick, asked, title, onRefused });
    this.list = element.querySelector(".own-list");
    this.name = element.querySelector("#own-name");
    this.picker = element.querySelector("#own-file");
    try {
      this.#moods = readMoods(JSON.parse(localStorage.getItem(KEY))) ?? [];
    } catch {
      this.#moods = []; // not ours, or cut off
    }
    element.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    element.querySelector("#own-export").addEventListener("click", () => this.#export());
    element.querySelector("#own-import").addEventListener("click", () => this.picker.click());
    this.picker.addEventListener("change", () => this.#import());
  }

  show() {
    const now = JSON.stringify(this.asked());
    this.name.placeholder = this.title();
    this.element.querySelector("#own-export").hidden = !this.#moods.length;
    this.list.replaceChildren(
      ...this.#moods.map((mood) => {
        const isOn = JSON.stringify(mood.fields) === now;
        const pick = make("button", { type: "button", textContent: mood.name, aria: { pressed: isOn } });
        const remove = make("button", { type: "button", className: "quiet", textContent: "×" });
        remove.setAttribute("aria-label", t("ownRemove", { name: mood.name }));
        pick.addEventListener("click", () => this.onPick({ ...mood.fields }));
        remove.addEventListener("click", () => this.#keep(this.#moods.filter((other) => other !== mood)));
        return make("li", {}, pick, remove);
      }),
    );
  }

  /** One of the same name is replaced. */
  #save() {
    const name = (this.name.value.trim() || this.title()).slice(0, LONGEST_NAME);
    this.#add([{ name, fields: { ...this.asked() } }]);
    this.name.value = "";
  }

  #add(moods) {
    const names = moods.map(({ name }) => name);
    this.#keep([...this.#moods.filter(({ name }) => !names.includes(name)), ...moods].slice(-MOST));
  }

  #keep(moods) {
    this.#moods = moods;
    localStorage.setItem(KEY, JSON.stringify(moods));
    this.show();
  }

  #export() {
    saveText("undersong-moods.json", JSON.stringify(this.#moods, null, 2), "application/json");
  }

  async #import() {
    const [file] = this.picker.files;
    this.picker.value = "";
    if (!file) return;
    try {
      const moods = readMoods(JSON.parse(await file.text()));
      if (moods) return this.#add(moods);
    } catch {
      // no JSON at all
    }
    this.onRefused("ownRefused", { name: file.name });
  }
}
