/* Renders and analyses, jobs of the server. In: requests; out: jobs as the server tells them. Remembers nothing.
   Addresses are made here from ids: the server need not know under which prefix the page sees it. */

import { Problem } from "../client/server.js";
import { server } from "./home.js";

const ASK_EVERY_MS = 400;
const MOST_FAILURES = 8;
const LAST_STATES = ["done", "failed", "cancelled"];

const sleep = (duration_ms) => new Promise((resolve) => setTimeout(resolve, duration_ms));

const pathOf = (job) => `v1/renders/${encodeURIComponent(job.id)}`;

/** Ask for a render; answers its first state. */
export const startRender = (asked) => server.postJson("v1/renders", asked);

/** Tell `onState(job)` of each state until the last, which is the answer; `signal` ends that. Throws `Problem`. */
export async function followRender(job, onState, signal) {
  for (let failures = 0; !signal?.aborted; await sleep(ASK_EVERY_MS)) {
    try {
      job = await fetchRender(job, signal);
      failures = 0;
    } catch (problem) {
      if (signal?.aborted) break;
      if (!(problem instanceof Problem) || !problem.isPassing || ++failures > MOST_FAILURES) throw problem;
      continue;
    }
    onState(job);
    if (LAST_STATES.includes(job.state)) return job;
  }
  return job;
}

export const fetchRender = async (job, signal) => (await server.request(pathOf(job), { signal })).json();

/** Cancel a job and forget what it has made. */
export const dismissRender = (job) => server.dismiss(pathOf(job));

/** Where a file of a job is fetched. */
export const fileAddress = (job, file) => server.addressOf(`${pathOf(job)}/files/${encodeURIComponent(file.name)}`);

/** Where the music is heard while it is composed. */
export const auditionPath = (job) => `${pathOf(job)}/audition`;
