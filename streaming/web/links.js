/* Addresses for other programs: the overlay, the media source, actions. In: clicks; out: addresses on the clipboard,
   with a token where the server wants one and this page may make it. Remembers nothing. */

import { stationPath } from "../client/server.js";
import { Problem } from "../client/undersong.js";
import { make } from "./elements.js";
import { t } from "./i18n.js";

const OVERLAY_DAYS = 30;
const ACTION_DAYS = 180;
const ACTIONS = [
  ...["panic", "play", "pause", "skip", "duck?gain_db=-12", "duck?gain_db=0", "volume?by_db=3", "volume?by_db=-3"],
  ...["energy/0.3", "energy/0.8", "mood/focus", "mood/epic", "hit", "stinger/reveal", "countdown/300"],
];

export class Links {
  /** `say(key, values)` tells the streamer; `token` is this page's own, or null. */
  constructor(server, station, token, say) {
    this.server = server;
    this.station = station;
    this.token = token;
    this.say = say;
  }

  copyOverlay() {
    return this.#copy(`overlay/${encodeURIComponent(this.station)}`, "listen", OVERLAY_DAYS);
  }

  copySource() {
    return this.#copy(`${stationPath(this.station)}/audio.ogg`, "listen", OVERLAY_DAYS);
  }

  /** All actions as a list, each with a button that copies its address. */
  list(root) {
    root.replaceChildren(
      ...ACTIONS.map((action) => {
        const copy = () => this.#copy(`${stationPath(this.station)}/do/${action}`, "control", ACTION_DAYS);
        const aria = { label: t("dockCopyAction", { action }) };
        const button = make("button", { type: "button", textContent: t("dockCopy"), onclick: copy, aria });
        return make("li", {}, make("code", { textContent: `do/${action}` }), button);
      }),
    );
  }

  async #copy(path, role, days) {
    const address = new URL(this.server.addressOf(path));
    const token = await this.#tokenFor(role, days);
    if (token) address.searchParams.set("token", token);
    const isCopied = await navigator.clipboard?.writeText(address.href).then(() => true, () => false);
    const what = address.href.replace(/token=[^&]*/, "token=…");
    if (!isCopied) this.say("said", { detail: address.href });
    else this.say(token === null ? "dockNoToken" : "dockCopied", { what });
  }

  /** "" where the server wants none, null where this page may not make one. */
  async #tokenFor(role, days) {
    try {
      const own = await (await this.server.request("v1/token")).json();
      if (own.id === null) return "";
      return (await this.server.postJson("v1/tokens", { role, station: this.station, days, note: "dock" })).token;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return null;
    }
  }
}
