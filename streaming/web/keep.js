/* What has been heard, made again as files. In: a station, how much of it, which files; out: a take, and a render with
   its progress and downloads. Remembers the station, and the render that was begun last. */

import { addressOf, stationPath } from "./api.js";
import { t } from "./i18n.js";
import { RenderList } from "./renderlist.js";
import { startRender } from "./renders.js";

const MINUTES = [1, 2, 5, 10, 30];
const FORMATS = ["wav", "flac", "mp3", "m4a", "opus", "ogg"];

export class Keep {
  #station = null;

  /** `dialog` holds a form with #keep-minutes, #keep-format, #keep-stems, #keep-midi, a link and a list. */
  constructor(dialog) {
    this.dialog = dialog;
    this.minutes = dialog.querySelector("#keep-minutes");
    this.format = dialog.querySelector("#keep-format");
    this.format.append(...FORMATS.map((name) => new Option(name.toUpperCase(), name)));
    this.renders = new RenderList(dialog.querySelector(".renders"));
    dialog.querySelector("#keep-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#render();
    });
  }

  /** This station can be kept from now on. */
  offer(station) {
    this.#station = station;
    document.querySelector("#keep-open").disabled = false;
  }

  withdraw() {
    this.#station = null;
    document.querySelector("#keep-open").disabled = true;
    if (this.dialog.open && !this.renders.isBusy) this.dialog.close();
  }

  open() {
    const link = this.dialog.querySelector("#keep-take");
    link.href = addressOf(`${stationPath(this.#station.id)}/take`);
    link.download = `${this.#station.name}.take.jsonl`;
    this.translate();
    this.dialog.showModal();
  }

  translate() {
    const { value } = this.minutes;
    this.minutes.replaceChildren(
      ...MINUTES.map((minutes) => new Option(t("lastMinutes", { minutes }), minutes)),
      new Option(t("allMinutes"), ""),
    );
    this.minutes.value = value || MINUTES[1];
    this.renders.translate();
  }

  async #render() {
    const [stems, midi] = ["#keep-stems", "#keep-midi"].map((id) => this.dialog.querySelector(id).checked);
    const asked = { take: this.#station?.id, formats: [this.format.value], stems, midi };
    if (this.minutes.value) asked.last_minutes = Number(this.minutes.value);
    await this.renders.begin(() => startRender(asked));
  }
}
