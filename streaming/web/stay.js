/* Keeps a page on the station of a name for ever. In: a client, and how the station is found and begun with; out: word
   of what goes wrong. The client itself keeps to a station through everything but its end; this looks again then.
   Remembers how often it has failed in a row. */

import { Problem } from "../client/undersong.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/** Longer each time, and never the same for all the pages of a server that comes back. */
const pauseOf = (failures) =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 8)) * (0.75 + 0.5 * Math.random());

/** Resolves when the client wants nothing any more: the station has ended, or the server refuses. */
function givenUp(music) {
  return new Promise((resolve) => {
    const off = music.on("phase", (phase) => phase === "idle" && leave());
    const leave = () => {
      off();
      resolve();
    };
    if (music.phase === "idle") leave();
  });
}

/** `begin()` resolves when the station is there; `onProblem(problem, failures)` is told why not. */
export async function stayOn(music, begin, onProblem) {
  for (let failures = 0; ; failures++) {
    try {
      await begin();
      failures = 0;
      await givenUp(music);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      music.leave();
      onProblem(problem, failures);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseOf(failures)));
  }
}
