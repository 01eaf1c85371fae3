/* The HTTP interface. In: paths and JSON; out: JSON, or a `Problem` that carries the server's words (RFC 9457).
   Remembers nothing. Every address is relative to the page's own: a proxy may serve us under a prefix. */

export class Problem extends Error {
  /** `status` 0 means that no answer came; `retryAfter_s` is null unless the server named it. */
  constructor(status, detail, retryAfter_s = null) {
    super(detail);
    this.status = status;
    this.retryAfter_s = retryAfter_s;
  }

  /** True where trying again later may help. */
  get isPassing() {
    return this.status === 0 || this.status === 409 || this.status === 429 || this.status >= 500;
  }
}

/** The full address of a path such as `v1/moods`. */
export const addressOf = (path) => new URL(path, document.baseURI).href;

/** The same for a WebSocket. */
export const socketAddressOf = (path) => addressOf(path).replace(/^http/, "ws");

export const stationPath = (id) => `v1/stations/${encodeURIComponent(id)}`;

/** `fetch` that throws a `Problem` for every answer that is not 2xx, and for none at all. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(addressOf(path), options);
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

export const fetchMoods = async () => (await request("v1/moods")).json();

export const fetchStation = async (id) => (await request(stationPath(id))).json();

/** False where the server says that it has no such thing; no answer says nothing. */
export async function isThere(path) {
  const { status } = await request(path).catch((problem) => problem);
  return status !== 404;
}

export async function postJson(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await request(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export const createStation = (opening) => postJson("v1/stations", opening);

/** Ask for the end of a session or station; works while the page is being closed, and failing is no news. */
export async function dismiss(path) {
  await fetch(addressOf(path), { method: "DELETE", keepalive: true }).catch(() => {});
}
