/* The HTTP interface of one server. In: paths and JSON; out: JSON, or a `Problem` that carries the server's words
   (RFC 9457). Remembers where the server is; a proxy may serve it under a prefix; and a token, if it asks for one. */

export class Problem extends Error {
  /** `status` 0 means that no answer came; `retryAfter_s` is null unless the server named it. */
  constructor(status, detail, retryAfter_s = null) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.retryAfter_s = retryAfter_s;
  }

  /** True where trying again later may help. */
  get isPassing() {
    return this.status === 0 || this.status === 409 || this.status === 429 || this.status >= 500;
  }
}

export const stationPath = (id) => `v1/stations/${encodeURIComponent(id)}`;

export class Server {
  #token;

  /** `base`: an address within which "v1/stations" is found. `token`: what lets in; a page of the server's own that was
      opened with one has it in a cookie, and needs none here. */
  constructor(base, token = null) {
    this.base = base;
    this.#token = token;
  }

  /** The full address of a path such as `v1/moods`. */
  addressOf(path) {
    return new URL(path, this.base).href;
  }

  /** The same for a WebSocket. */
  socketAddressOf(path) {
    const address = new URL(path, this.base);
    if (this.#token) address.searchParams.set("token", this.#token); // a page can send a socket no headers
    return address.href.replace(/^http/, "ws");
  }

  #fetch(path, options) {
    const headers = this.#token ? { ...options.headers, Authorization: `Bearer ${this.#token}` } : options.headers;
    return fetch(this.addressOf(path), { ...options, headers });
  }

  /** `fetch` that throws a `Problem` for every answer that is not 2xx, and for none at all. */
  async request(path, options = {}) {
    let response;
    try {
      response = await this.#fetch(path, options);
    } catch (error) {
      throw new Problem(0, error.message);
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    const detail = typeof problem.detail === "string" ? problem.detail : problem.title;
    const retryAfter_s = Number.parseFloat(response.headers.get("Retry-After"));
    throw new Problem(
      response.status,
      detail ?? `${response.status} ${response.statusText}`,
      Number.isNaN(retryAfter_s) ? null : retryAfter_s,
    );
  }

  async postJson(path, body) {
    const headers = { "Content-Type": "application/json" };
    return (await this.request(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  /** False where the server says that it has no such thing; no answer says nothing. */
  async isThere(path) {
    const { status } = await this.request(path).catch((problem) => problem);
    return status !== 404;
  }

  /** Ask for the end of a session or station; works while the page is being closed, and failing is no news. */
  async dismiss(path) {
    await this.#fetch(path, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  async fetchStation(id) {
    return (await this.request(stationPath(id))).json();
  }

  createStation(opening) {
    return this.postJson("v1/stations", opening);
  }

  async fetchMoods() {
    return (await this.request("v1/moods")).json();
  }
}
