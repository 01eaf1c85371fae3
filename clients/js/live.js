/* The live WebSocket of one station. In: controls; out: events, by callback. Reconnects until closed, or until the
   server says that there is no such station any more. Remembers the socket, whose session it belongs to, and how often
   it has failed since it last opened. */

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 3000;

export class Live {
  #socket = null;
  #session = null;
  #failures = 0;
  #timer = 0;
  #closed = false;

  /** `onOpen()` at every connection, `onEvent(event)` for each message, `onEnd()` when the station is no more. */
  constructor(server, station, { onOpen, onEvent, onEnd }) {
    this.server = server;
    this.station = station;
    this.onOpen = onOpen;
    this.onEvent = onEvent;
    this.onEnd = onEnd;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Be connected, for a listening session where it has an id: it is told of that session, too. */
  open(session = null) {
    if (this.#closed || (this.#socket && (session === null || session === this.#session))) return;
    this.#session = session;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Send one control; false where there is no connection. */
  send(control) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(control));
    return true;
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #connect() {
    this.#socket?.close();
    const query = this.#session === null ? "" : `?session=${encodeURIComponent(this.#session)}`;
    const socket = new WebSocket(this.server.socketAddressOf(`${this.station}/live${query}`));
    this.#socket = socket;
    const isCurrent = () => !this.#closed && socket === this.#socket;
    socket.onopen = () => {
      this.#failures = 0;
      if (isCurrent()) this.onOpen();
    };
    socket.onmessage = (message) => {
      if (isCurrent()) this.onEvent(JSON.parse(message.data));
    };
    socket.onclose = () => isCurrent() && this.#lost(socket);
  }

  async #lost(socket) {
    const isThereStill = await this.server.isThere(this.station);
    if (this.#closed || socket !== this.#socket) return;
    if (!isThereStill) {
      this.close();
      this.onEnd();
      return;
    }
    const pause_ms = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.#connect(), pause_ms);
  }
}
