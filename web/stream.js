// The WebSocket that carries frames and tracks of the cameras that can be seen.
//
// One socket for all of them. When the choice changes, the new socket is opened before the old one is
// closed, so that no frame flickers. When sockets cannot be had at all although the server answers
// (some proxies), `onFallback(true)` asks for MJPEG, and the socket is tried again now and then.

import {backOff} from "/api.js";
import {readMessage} from "/wire.js";

const CHOICE_SETTLES_MS = 150; // scrolling passes by many cameras
const FAILURES_BEFORE_FALLBACK = 3;

export class Stream {
  #socket = null;  // delivers
  #next = null;    // is to replace it
  #timer = 0;
  #attempt = 0;
  #failures = 0;   // sockets in a row that never opened
  #choice = "";
  #wanted = false;
  #handlers;

  constructor(handlers) {
    this.#handlers = handlers; // onMessage(message), onState("open" | "lost"), onFallback(bool)
  }

  // names: the cameras to have; none: no socket. width: of the widest frame shown, in pixels.
  choose(names, width) {
    const query = new URLSearchParams({format: "binary", jpeg: "1"});
    if (width)
      query.set("width", width);
    // Names need no escaping, and the comma between them must stay one.
    const choice = names.length ? `cameras=${[...names].sort().join(",")}&${query}` : "";
    if (choice === this.#choice)
      return;
    this.#choice = choice;
    this.#later(CHOICE_SETTLES_MS);
  }

  // Tries at once, as when the server has just answered again.
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
