/* The live WebSocket of one station. In: controls; out: events, by callback. Reconnects until closed, or until the
   server says that there is no such station any more. Remembers the socket and how often it has failed since
   it last opened. */

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5000;

export class Live {
  #socket = null;
  #failures = 0;
  #timer = 0;
  #closed = false;

  /** `onOpen()` at every connection, `onEvent(event)` for each message, `onEnd()` when the station is no more. */
  constructor(server, station, { onOpen, onEvent, onEnd }) {
    this.server = server;
    this.station = station;
    this.url = server.socketAddressOf(`${station}/live`);
    this.onOpen = onOpen;
    this.onEvent = onEvent;
    this.onEnd = onEnd;
    this.#connect();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
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
    this.#socket.close();
  }

  #connect() {
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      if (!this.#closed) this.onOpen();
    };
    socket.onmessage = (message) => {
      if (!this.#closed) this.onEvent(JSON.parse(message.data));
    };
    socket.onclose = () => this.#lost();
  }

  async #lost() {
    if (this.#closed) return;
    const isThereStill = await this.server.isThere(this.station);
    if (this.#closed) return;
    if (!isThereStill) {
      this.close();
      this.onEnd();
      return;
    }
    const pause_ms = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.#connect(), pause_ms);
  }
}
