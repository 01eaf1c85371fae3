/* What is sounding, what is coming and how long it takes. In: acks, status, statistics and the clock; out: text.
   Remembers the controls on their way, those accepted but not yet heard, and the last measured delays. */

import { keyName, nameOf, t } from "./i18n.js";
import { nearestMoods } from "./pad.js";

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

  constructor(clock) {
    this.clock = clock;
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

  /** An ack: measure the way to the ear, and list what is not heard yet. Returns what was sent, if by us. */
  acknowledged(ack) {
    const sent = this.#sent.get(ack.id);
    if (!sent) return null;
    this.#sent.delete(ack.id);
    this.#answer_ms = performance.now() - sent.at_ms;
    const heard_at_ms = this.clock.timeOf(ack.effective_at.frame);
    if (heard_at_ms !== null && sent.kind === "colour")
      this.#heard_ms = Math.max(this.#answer_ms, heard_at_ms - sent.at_ms);
    const positions = Object.values(ack.fields ?? {});
    const last = positions.reduce(
      (late, position) => (position.frame > late.frame ? position : late),
      ack.effective_at,
    );
    this.#pending = this.#pending.filter((other) => other.kind !== sent.kind || sent.kind === "other");
    this.#pending.push({ ...sent, ...last });
    return sent;
  }

  rejected(id) {
    this.#sent.delete(id);
  }

  measured(delays) {
    this.#delays = delays;
  }

  /** One animation frame: the list of what is coming. */
  showNext() {
    const now_ms = performance.now();
    const coming = this.#pending.map((entry) => ({
      ...entry,
      wait_ms: (this.clock.timeOf(entry.frame) ?? now_ms) - now_ms,
    }));
    this.#pending = this.#pending.filter((_, index) => coming[index].wait_ms > 0);
    const lines = coming
      .filter(({ wait_ms }) => wait_ms > WORTH_SHOWING_MS)
      .slice(-MOST_PENDING)
      .reverse();
    const list = element("next");
    while (list.children.length > lines.length) list.lastChild.remove();
    lines.forEach(({ label, bar, beat, wait_ms }, index) => {
      const item = list.children[index] ?? list.appendChild(document.createElement("li"));
      const where = t(beat === 1 ? "atBar" : "atBeat", { what: label, bar, beat });
      const text = `${where} · ${t("inSeconds", { s: (wait_ms / 1000).toFixed(1) })}`;
      if (item.textContent !== text) item.textContent = text;
    });
  }

  /** What the server says is sounding, or the words of an idle page. */
  showNow(moods) {
    const { mood, position } = this.sounding ?? {};
    if (!mood) {
      element("now").textContent = t("tagline");
      return;
    }
    const [nearest] = nearestMoods(moods, mood, 1);
    const parts = [
      nearest && nameOf(nearest.mood),
      mood.section && t(`section_${mood.section}`),
      mood.key && keyName(mood.key),
      t("bpmValue", { bpm: Math.round(position?.bpm ?? mood.bpm) }),
    ];
    element("now").textContent = parts.filter(Boolean).join(" · ");
  }

  showLatency() {
    const { buffer_ms, network_ms } = this.#delays ?? {};
    const round = (value) => (value == null ? "–" : value < 10 ? value.toFixed(1) : Math.round(value));
    const parts = { buffer: round(buffer_ms), network: round(network_ms), answer: round(this.#answer_ms) };
    const figures =
      this.#heard_ms === null
        ? this.#delays
          ? t("latencyIdle", parts)
          : ""
        : `${t("latency", { heard: Math.round(this.#heard_ms) })} — ${t("latencyParts", parts)}`;
    element("latency").textContent = figures;
  }
}
