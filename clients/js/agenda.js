/* What was told ahead, given out when it is heard. In: events with frames, and a clock; out: calls of listeners, each at
   the event's own time or so much before as the listener wants. Remembers events that are still to come and who knows
   of each. */

const LONGEST_SLEEP_MS = 100;
const TOO_LATE_MS = 250;
const SAME_FRAMES = 4800;
/** Told anew so soon, the beat heard last is still that beat: the server's engine was late. */
const SAME_BEAT_FRAMES = 48000;

const isBeat = ({ type }) => type === "beat" || type === "bar";

/** Whether `news` takes the place of `old`, which was told before and is not over: the last word counts. What carries
    `moment_ms` is a bed's, and no word of the station's. */
function replaces(news, old) {
  if (news.type !== old.type || "moment_ms" in news !== "moment_ms" in old) return false;
  if (isBeat(news)) return old.bar > news.bar || (old.bar === news.bar && old.beat >= news.beat);
  if (news.type === "marker") return news.id === old.id && news.name === old.name;
  return old.frame >= news.frame || old.name === news.name;
}

const isSame = (one, other, frames = SAME_FRAMES) =>
  one?.bar === other.bar && one.beat === other.beat && Math.abs(one.frame - other.frame) < frames;

export class Agenda {
  #coming = [];
  #listeners = [];
  #lastBeat = null;
  #timer = 0;

  /** `heardAt(event)`: when that is heard, in performance.now() milliseconds, or null where nobody knows yet.
      `isHidden(event, at_ms)`: whether something else sounds then. */
  constructor(heardAt, isHidden) {
    this.heardAt = heardAt;
    this.isHidden = isHidden;
  }

  /** Forget what belonged to another station. */
  clear() {
    clearTimeout(this.#timer);
    this.#coming = [];
    this.#lastBeat = null;
  }

  /** Call `listener(event)` at every event of a type, `ahead_s` before it is heard; answers how to end that. */
  listen(type, listener, ahead_s = 0) {
    const entry = { type, listener, ahead_ms: 1000 * ahead_s };
    this.#listeners.push(entry);
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== entry);
    };
  }

  /** An event told ahead, or told anew. */
  announce(event) {
    if (event.type === "beat" && isSame(this.#lastBeat, event, SAME_BEAT_FRAMES)) return;
    const [replaced, kept] = [[], []];
    for (const entry of this.#coming) (replaces(event, entry.event) ? replaced : kept).push(entry);
    const known = replaced.find(({ event: old }) => isSame(old, event));
    this.#coming = [...kept, { event, told: known?.told ?? new Set() }];
    if (event.type === "beat" && event.beat === 1) this.#announceBar(event);
    this.#work();
  }

  /** Forget what was told for `frame` or later: the music stands still from there. */
  takeBack(frame) {
    this.#coming = this.#coming.filter(({ event }) => "moment_ms" in event || event.frame < frame);
  }

  /** A bar begins where its first beat does. */
  #announceBar(beat) {
    this.announce({ ...beat, type: "bar" });
  }

  #work() {
    clearTimeout(this.#timer);
    const now_ms = performance.now();
    let next_ms = LONGEST_SLEEP_MS;
    const due = [];
    this.#coming = this.#coming.filter(({ event, told }) => {
      const at_ms = this.heardAt(event);
      if (at_ms === null) return true;
      for (const entry of this.#listeners) {
        if (entry.type !== event.type || told.has(entry)) continue;
        const wait_ms = at_ms - entry.ahead_ms - now_ms;
        if (wait_ms > 0) {
          next_ms = Math.min(next_ms, wait_ms);
        } else {
          told.add(entry);
          const isOver = isBeat(event) && now_ms - at_ms > TOO_LATE_MS; // nobody dances to it any more
          if (!isOver && !this.isHidden(event, at_ms)) due.push([entry.listener, event]);
        }
      }
      if (at_ms > now_ms) return true;
      if (event.type === "beat") this.#lastBeat = event;
      return false;
    });
    if (this.#coming.length) this.#timer = setTimeout(() => this.#work(), next_ms);
    for (const [listener, event] of due) listener(event);
  }
}
