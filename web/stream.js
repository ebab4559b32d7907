// The WebSocket with frames and tracks of the visible cameras.
//
// One socket serves all cameras. When the selection changes, the new socket opens before the old one
// closes, so that frames do not flicker. When WebSockets fail although the server replies (some
// proxies), `onFallback(true)` switches to MJPEG, and the socket is retried from time to time.

import {backOff} from "/api.js";
import {readMessage} from "/wire.js";

const CHOICE_SETTLES_MS = 150; // scrolling changes the selection often
const FAILURES_BEFORE_FALLBACK = 3;

export class Stream {
  #socket = null;  // in use
  #next = null;    // replaces #socket once open
  #timer = 0;
  #attempt = 0;
  #failures = 0;   // consecutive sockets that did not open
  #choice = "";
  #wanted = false;
  #handlers;

  constructor(handlers) {
    this.#handlers = handlers; // onMessage(message), onState("open" | "lost"), onFallback(bool)
  }

  // names: the cameras to subscribe to; empty: no socket. width: of the widest frame shown, in pixels.
  choose(names, width) {
    const query = new URLSearchParams({format: "binary", jpeg: "1"});
    if (width)
      query.set("width", width);
    // Names need no escaping; the commas must not be escaped.
    const choice = names.length ? `cameras=${[...names].sort().join(",")}&${query}` : "";
    if (choice === this.#choice)
      return;
    this.#choice = choice;
    this.#later(CHOICE_SETTLES_MS);
  }

  // Retries at once, for example after the server replied again.
  start() {
    this.#wanted = true;
    if (this.#socket === null && this.#next === null)
      this.#later(0);
  }

  stop() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#close();
  }

  #later(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), ms);
  }

  #close() {
    for (const socket of [this.#socket, this.#next])
      if (socket) {
        socket.onclose = socket.onmessage = socket.onopen = null;
        socket.close();
      }
    this.#socket = this.#next = null;
  }

  #open() {
    if (!this.#wanted || !this.#choice) {
      this.#close();
      return;
    }
    if (this.#next) {
      this.#next.onclose = this.#next.onopen = null;
      this.#next.close();
    }
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/v2/ws?${this.#choice}`);
    this.#next = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened(socket);
    socket.onclose = () => this.#closed(socket);
    socket.onmessage = (event) => this.#received(event.data);
  }

  #opened(socket) {
    const old = this.#socket;
    this.#socket = socket;
    this.#next = null;
    this.#attempt = this.#failures = 0;
    if (old) {
      old.onclose = old.onmessage = null;
      old.close();
    }
    this.#handlers.onFallback(false);
    this.#handlers.onState("open");
  }

  #closed(socket) {
    if (socket === this.#next) {
      this.#next = null;
      this.#failures++;
    } else {
      this.#socket = null;
      this.#handlers.onState("lost");
    }
    if (this.#failures >= FAILURES_BEFORE_FALLBACK)
      this.#handlers.onFallback(true);
    if (this.#wanted)
      this.#later(backOff(this.#attempt++));
  }

  #received(data) {
    if (!(data instanceof ArrayBuffer))
      return;
    let message;
    try {
      message = readMessage(data);
    } catch (error) {
      this.#handlers.onUnreadable(error.message);
      return;
    }
    this.#handlers.onMessage(message);
  }
}
