/* The overlay's card: what sounds, who asked for it, what comes next. In: status, beats; out: text and bars on the
   page, never as HTML. Remembers the last status. */

import { nameOf, t } from "./i18n.js";
import { nameOfPoint, styleWords } from "./naming.js";

const PULSE_MS = 420;
const FAR_BARS = 33;
const TELLS_MOOD = ["steer", "parameter", "state"];
const NAMED = ["hit", "stinger", "section", "end", "skip", "transport", "theme", "countdown"];

/** Who asks for music without being anybody: what they are called in `by`. */
const OF_THE_SERVER = ["obs", "programme"];
const VOTE = "chat";

const element = (id) => document.getElementById(id);
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

/** Put text into an element that is hidden without any. */
function say(target, text) {
  target.hidden = !text;
  if (text && target.textContent !== text) target.textContent = text;
}

/** "4:05". */
export function clockOf(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export class Card {
  #status = null;

  /** `heardAt(frame)`: when that is heard, in performance.now() milliseconds, or null. `words`: moods and styles. */
  constructor(heardAt, words) {
    this.heardAt = heardAt;
    this.words = words;
  }

  meetStatus(status) {
    this.#status = status;
    const { mood, position, state } = status;
    const { moods, styles } = this.words;
    const isSilent = state === "paused" || state === "ended";
    const text = isSilent ? t("silence") : nameOfPoint(mood, moods, styles);
    if (element("mood").textContent !== text) element("mood").textContent = text;
    element("details").textContent = [styleWords(mood.style, styles), t("bpmValue", { bpm: Math.round(position.bpm) })]
      .filter(Boolean)
      .join(" · ");
    const percent = Math.round(100 * mood.energy);
    element("energy").setAttribute("aria-valuenow", percent);
    element("energy").style.setProperty("--energy", mood.energy);
    say(element("by"), whoAsked(status));
    this.tick();
  }

  /** What time alone changes; a few times a second. */
  tick() {
    const status = this.#status;
    if (!status) return;
    say(element("next"), nextChange(status, this.words));
    say(element("countdown"), this.#countdown(status));
  }

  #countdown({ countdown, state }) {
    if (!countdown || state !== "playing") return "";
    const at_ms = this.heardAt(countdown.ends_at.frame);
    return clockOf(at_ms === null ? countdown.remaining_s : (at_ms - performance.now()) / 1000);
  }

  /** A beat is heard. */
  pulse({ beat }) {
    const dot = element("beats").children[beat - 1];
    if (!dot || isCalm.matches) return;
    const scale = beat === 1 ? 2 : 1.5;
    dot.animate([{ opacity: 1, transform: `scale(${scale})` }, { opacity: 0.25, transform: "none" }], {
      duration: PULSE_MS,
      easing: "ease-out",
    });
  }
}

/** "asked by Anna"; empty where it was nobody of those who watch. */
function whoAsked({ asked_by: asked }) {
  if (!asked || OF_THE_SERVER.includes(asked.by)) return "";
  return asked.by === VOTE ? t("byVote") : t("byWhom", { name: `\u2068${asked.by}\u2069` }); // its own direction
}

/** "→ Epic in 2 bars", of what is soonest of all that is still to come; empty where nothing is. */
export function nextChange(status, { moods, styles }) {
  const { pending, position } = status;
  const coming = pending
    .map(({ type, fields }) => ({ type, at: soonest(fields, position.frame) }))
    .filter(({ at }) => at !== null)
    .sort((a, b) => a.at.frame - b.at.frame)[0];
  const when = coming ? whenOf(coming.at, position) : "";
  return when && t("nextIn", { what: whatOf(coming.type, status, moods, styles), when });
}

function whatOf(type, { heading, mood, states, asked_by: asked, position }, moods, styles) {
  const wanted = asked?.at_frame > position.frame && moods.find(({ name }) => name === asked.what);
  if (wanted && TELLS_MOOD.includes(type)) return t("toMood", { mood: nameOf(wanted) });
  const [now, then] = [mood, heading].map((point) => nameOfPoint(point, moods, styles));
  if (type === "state" && states) return t("next_state", { name: states.heading });
  if (TELLS_MOOD.includes(type) && now !== then) return t("toMood", { mood: then });
  return t(NAMED.includes(type) ? `next_${type}` : "aChange");
}

/** The first place of a control's fields that lies ahead, or null. */
function soonest(fields, frame) {
  const ahead = Object.values(fields).filter((place) => place.frame > frame);
  return ahead.reduce((first, place) => (first && first.frame <= place.frame ? first : place), null);
}

/** "in 2 bars"; empty for what is too far off to be waited for. */
function whenOf(at, position) {
  const beats = 4 * (at.bar - position.bar) + at.beat - position.beat;
  if (beats <= 1) return t("inBeat");
  if (beats < 4) return t("inBeats", { count: beats });
  const bars = Math.round(beats / 4);
  if (bars >= FAR_BARS) return "";
  return bars === 1 ? t("inBar") : t("inBars", { count: bars });
}
