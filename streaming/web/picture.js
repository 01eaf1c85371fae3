/* The picture: chosen or dropped, uploaded and looked at by the server, and kept in step with the music. In: a file,
   the music's place; out: what was found, by callback. Remembers the file's address in this page, its upload and its
   analysis; the bytes themselves are gone with the page. */

import { Problem } from "../client/server.js";
import { server } from "./home.js";
import { followRender } from "./renders.js";

const FAR_OFF_S = 0.25;
const CLOSE_S = 0.004;
const MOST_HASTE = 0.08;
const HASTE_PER_S = 2;

export class Picture {
  /** { name, bytes, upload, analysis } of the picture that is scored, or null. */
  known = null;
  #address = null;
  #abort = null;
  #source = null;

  /** `on`: { found(report), said(key, values), progress(share or null), problem(problem), seen() }. */
  constructor(video, output, on) {
    this.video = video;
    this.output = output;
    this.on = on;
    video.addEventListener("loadedmetadata", () => this.#show(true));
    video.addEventListener("error", () => {
      if (!video.src) return;
      this.#show(false);
      this.on.said("pictureUnseen", {});
    });
  }

  /** Show the file; have it looked at where it is not the one that is known. */
  async take(file) {
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = this.video.src = URL.createObjectURL(file);
    const isKnown = this.known?.name === file.name && this.known.bytes === file.size;
    if (isKnown && (await server.isThere(`v1/renders/${this.known.analysis}`))) return this.on.said(null, {});
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    try {
      this.on.said("uploading", { name: file.name });
      const job = await upload(file, (share) => this.on.progress(share), abort.signal);
      this.on.said("looking", { name: file.name });
      const done = await followRender(job, ({ progress }) => this.on.progress(progress), abort.signal);
      if (abort.signal.aborted) return;
      if (done.state !== "done") throw new Problem(422, done.error?.detail ?? done.state);
      this.known = { name: file.name, bytes: file.size, upload: done.upload ?? job.upload, analysis: job.id };
      this.on.said(null, {});
      this.on.found(done.report);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (!abort.signal.aborted) this.on.problem(problem);
    } finally {
      if (abort === this.#abort) this.on.progress(null);
    }
  }

  forget() {
    this.#abort?.abort();
    this.known = null;
    this.video.removeAttribute("src");
    this.video.load();
    this.#show(false);
  }

  #show(isSeen) {
    this.video.hidden = !isSeen;
    this.on.seen();
  }

  /** True where the server still has what was uploaded. */
  async isKept() {
    return this.known !== null && server.isThere(`v1/renders/${this.known.analysis}`);
  }

  /** Its own sound goes the way of the music, so that both are late by the same. */
  hear(isHeard) {
    this.video.muted = !isHeard;
    if (!isHeard || this.#source || !this.output.context) return;
    this.#source = this.output.context.createMediaElementSource(this.video);
    this.#source.connect(this.output.input);
  }

  get isSeen() {
    return this.video.readyState > 0;
  }

  /** Be where the music is; `isMoving`: it plays. What is off by little is caught up with, what is far off leaps. */
  follow(position_s, isMoving) {
    const { video } = this;
    if (!this.isSeen) return;
    const wanted_s = Math.min(position_s, video.duration || position_s);
    const ahead_s = video.currentTime - wanted_s;
    if (!isMoving) {
      if (!video.paused) video.pause();
      if (Math.abs(ahead_s) > CLOSE_S && !video.seeking) video.currentTime = wanted_s;
      return;
    }
    if (video.paused && !video.ended) video.play().catch(() => {}); // one that is interrupted is asked again
    if (Math.abs(ahead_s) > FAR_OFF_S && !video.seeking && wanted_s < video.duration) video.currentTime = wanted_s;
    const haste = Math.abs(ahead_s) < CLOSE_S ? 0 : -HASTE_PER_S * ahead_s;
    video.playbackRate = 1 + Math.max(-MOST_HASTE, Math.min(MOST_HASTE, haste));
  }
}

/** `fetch` does not tell how much has been sent. Answers the job; throws `Problem`. */
function upload(file, onProgress, signal) {
  const form = new FormData();
  form.append("video", file, file.name);
  const sender = new XMLHttpRequest();
  sender.open("POST", server.addressOf("v1/analyses"));
  sender.responseType = "json";
  sender.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
  signal.addEventListener("abort", () => sender.abort());
  return new Promise((resolve, reject) => {
    sender.onload = () => {
      const { status, statusText, response } = sender;
      if (status < 300) resolve(response);
      else reject(new Problem(status, response?.detail ?? `${status} ${statusText}`));
    };
    sender.onerror = sender.onabort = () => reject(new Problem(0, "network"));
    sender.send(form);
  });
}
