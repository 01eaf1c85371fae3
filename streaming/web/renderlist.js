/* A render as it is seen: how far it is, what went wrong, its files. In: a job begun; out: a list in the page, beside a
   bar of progress and a line of text. Remembers the job. */

import { Problem } from "../client/server.js";
import { make } from "./elements.js";
import { t } from "./i18n.js";
import { dismissRender, fileAddress, followRender } from "./renders.js";

const UNITS = ["B", "kB", "MB", "GB"];

/** `1234567` as "1.2 MB". */
export function sizeName(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

export class RenderList {
  #job = null;
  #abort = null;
  #problem = null;

  constructor(element) {
    this.element = element;
    this.bar = element.appendChild(make("progress", { max: 1, hidden: true }));
    this.text = element.appendChild(make("p", { className: "said", role: "status" }));
    this.cancel = element.appendChild(make("button", { type: "button", className: "quiet", hidden: true }));
    this.files = element.appendChild(make("ul", { className: "files" }));
    this.cancel.addEventListener("click", () => this.#stop());
  }

  get isBusy() {
    return this.#abort !== null;
  }

  /** `start()` answers the job; it is followed until its end. True when it is done. */
  async begin(start) {
    this.#stop();
    const abort = (this.#abort = new AbortController());
    this.#job = this.#problem = null;
    this.translate();
    try {
      this.#job = await start();
      await followRender(this.#job, (job) => abort === this.#abort && this.#show(job), abort.signal);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (abort === this.#abort) this.#problem = problem;
    }
    if (abort !== this.#abort) return false;
    this.#abort = null;
    this.translate();
    return this.#job?.state === "done" && !this.#problem;
  }

  translate() {
    this.cancel.textContent = t("cancel");
    this.#show(this.#job);
  }

  #show(job) {
    this.#job = job;
    this.bar.hidden = this.cancel.hidden = !this.isBusy;
    if (job?.progress) this.bar.value = job.progress;
    else this.bar.removeAttribute("value");
    this.element.dataset.state = this.#problem ? "failed" : (job?.state ?? (this.isBusy ? "queued" : ""));
    this.text.textContent = this.#words(job);
    const files = job?.state === "done" ? job.files : [];
    this.files.replaceChildren(...files.map((file) => this.#fileItem(job, file)));
  }

  #words(job) {
    if (this.#problem) return this.#problem.message;
    if (!job) return this.isBusy ? t("render_queued") : "";
    if (job.state === "failed") return job.error?.detail ?? job.error ?? t("render_failed");
    if (job.state === "running") return t("render_running", { percent: Math.round(100 * job.progress) });
    return t(`render_${job.state}`);
  }

  #fileItem(job, { name, bytes }) {
    const link = make("a", { href: fileAddress(job, { name }), download: name, textContent: name });
    return make("li", {}, link, make("small", { className: "figure", textContent: sizeName(bytes) }));
  }

  /** Give up what is being made; what is done stays. */
  #stop() {
    this.#abort?.abort();
    if (this.#abort && this.#job) dismissRender(this.#job);
    this.#abort = null;
    if (this.#job && this.#job.state !== "done") this.#job = { ...this.#job, state: "cancelled" };
    this.#show(this.#job);
  }
}
