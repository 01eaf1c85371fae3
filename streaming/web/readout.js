/* What is sounding, what is coming and how long it takes. In: acks, status, statistics and a clock; out: text.
   Remembers the controls on their way, those accepted but not yet heard, and the last measured delays. */

import { keyName, t } from "./i18n.js";
import { nameOfPoint } from "./naming.js";

const WORTH_SHOWING_MS = 250;
const MOST_PENDING = 2;
const FORGET_SENT_MS = 10_000;

const element = (id) => document.getElementById(id);

export class Readout {
  #sent = new Map();
  #pending = [];
  #answer_ms = null;
  #heard_ms = null;
  #delays = null;

  /** `heardAt(frame)`: when that is heard, in performance.now() milliseconds, or null where nobody knows. */
  constructor(heardAt) {
    this.heardAt = heardAt;
    this.sounding = null;
  }

  /** Forget what belonged to the last station. */
  reset() {
    this.#sent.clear();
    this.#pending = [];
    this.#answer_ms = this.#heard_ms = this.#delays = this.sounding = null;
  }

  sent(id, label, kind) {
    const now_ms = performance.now();
    for (const [old, { at_ms }] of this.#sent) if (now_ms - at_ms > FORGET_SENT_MS) this.#sent.delete(old);
    this.#sent.set(id, { label, kind, at_ms: now_ms });
  }

  /** An ack: measure the way to the ear, and list what is not heard yet. */
  acknowledged(ack) {
    const sent = this.#sent.get(ack.id);
    if (!sent) return;
    this.#sent.delete(ack.id);
    this.#answer_ms = performance.now() - sent.at_ms;
    const heard_at_ms = this.heardAt(ack.effective_at.frame);
    if (heard_at_ms !== null && sent.kind === "colour")
      this.#heard_ms = Math.max(this.#answer_ms, heard_at_ms - sent.at_ms);
    const positions = Object.values(ack.fields ?? {});
    const last = positions.reduce(
      (late, position) => (position.frame > late.frame ? position : late),
      ack.effective_at,
    );
    this.#pending = this.#pending.filter((other) => other.kind !== sent.kind || sent.kind === "other");
    const isWithoutEffect = ack.understood?.understood === false && positions.length === 0;
    if (!isWithoutEffect) this.#pending.push({ ...sent, ...last });
  }

  rejected(id) {
    this.#sent.delete(id);
  }

  /** `delays`: { transport, buffer_ms, network_ms }, null where unknown. */
  measured(delays) {
    this.#delays = delays;
  }

  /** One animation frame: the list of what is coming. */
  showNext() {
    const now_ms = performance.now();
    const coming = this.#pending.map((entry) => ({
      ...entry,
      wait_ms: (this.heardAt(entry.frame) ?? now_ms) - now_ms,
    }));
    this.#pending = this.#pending.filter((_, index) => coming[index].wait_ms > 0);
    const lines = coming
      .filter(({ wait_ms }) => wait_ms > WORTH_SHOWING_MS)
      .slice(-MOST_PENDING)
      .reverse();
    const list = element("next");
    element("next-row").classList.toggle("empty", lines.length === 0);
    while (list.children.length > lines.length) list.lastChild.remove();
    lines.forEach(({ label, bar, beat, wait_ms }, index) => {
      const item = list.children[index] ?? list.appendChild(document.createElement("li"));
      const where = t(beat === 1 ? "atBar" : "atBeat", { what: label, bar, beat });
      const text = `${where} · ${t("inSeconds", { s: (wait_ms / 1000).toFixed(1) })}`;
      if (item.textContent !== text) item.textContent = text;
    });
  }

  /** What the server says is sounding, or the words of an idle page. */
  showNow(moods, styles) {
    const { mood, position } = this.sounding ?? {};
    element("now-label").hidden = !mood;
    if (!mood) {
      element("now").textContent = t("tagline");
      return;
    }
    const parts = [
      nameOfPoint(mood, moods, styles),
      mood.section && t(`section_${mood.section}`),
      mood.key && keyName(mood.key),
      t("bpmValue", { bpm: Math.round(position?.bpm ?? mood.bpm) }),
    ];
    element("now").textContent = parts.filter(Boolean).join(" · ");
  }

  /** How the sound comes here and what that costs. */
  showLatency() {
    if (!this.#delays) {
      element("latency").textContent = "";
      return;
    }
    const { transport, ...delays } = { ...this.#delays, answer_ms: this.#answer_ms };
    const round = (value) => (value < 10 ? value.toFixed(1) : Math.round(value));
    const parts = ["answer", "buffer", "network"]
      .filter((name) => delays[`${name}_ms`] != null)
      .map((name) => t(`delay_${name}`, { ms: round(delays[`${name}_ms`]) }));
    const heard = this.#heard_ms === null ? "" : `${t("latency", { heard: Math.round(this.#heard_ms) })} — `;
    const figures = [transport, ...parts].join(" · ");
    element("latency").textContent = parts.length ? `${heard}${figures} ${t("milliseconds")}` : figures;
  }
}
