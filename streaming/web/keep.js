/* What has been heard, made again as files. In: a station, how much of it, which files; out: a take, and a render with
   its progress and downloads. Remembers the station, or the take of one that has ended, and the render begun last. */

import { stationPath } from "../client/server.js";
import { server } from "./home.js";
import { t } from "./i18n.js";
import { RenderList } from "./renderlist.js";
import { startRender } from "./renders.js";

const MINUTES = [1, 2, 5, 10, 30];
const SHORTEST_S = 1;
const FORMATS = ["wav", "flac", "mp3", "m4a", "opus", "ogg"];

export class Keep {
  #station = null;
  /** The take of a station that is no more, { text, seconds }. */
  #held = null;

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
    this.#held = null;
    document.querySelector("#keep-open").disabled = false;
  }

  /** The station is about to end after `seconds`: its take is kept here. */
  async hold(seconds) {
    const answer = await server.request(this.#takePath).catch(() => null);
    if (answer && seconds >= SHORTEST_S) this.#held = { text: await answer.text(), seconds };
  }

  /** There is no station any more. */
  withdraw() {
    document.querySelector("#keep-open").disabled = this.#held === null;
    if (this.dialog.open && !this.#held && !this.renders.isBusy) this.dialog.close();
  }

  get #takePath() {
    return `${stationPath(this.#station.id)}/take`;
  }

  open() {
    const link = this.dialog.querySelector("#keep-take");
    const held = this.#held && new Blob([this.#held.text], { type: "application/jsonl" });
    link.href = held ? URL.createObjectURL(held) : server.addressOf(this.#takePath);
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

  /** Which part of which take. */
  #what() {
    const minutes = this.minutes.value ? Number(this.minutes.value) : Infinity;
    if (!this.#held) return { take: this.#station.id, ...(minutes < Infinity && { last_minutes: minutes }) };
    const { text, seconds } = this.#held;
    const from = Math.max(0, seconds - 60 * minutes);
    return { take: text, from, seconds: seconds - from };
  }

  async #render() {
    const [stems, midi] = ["#keep-stems", "#keep-midi"].map((id) => this.dialog.querySelector(id).checked);
    const asked = { ...this.#what(), formats: [this.format.value], stems, midi };
    await this.renders.begin(() => startRender(asked));
  }
}
