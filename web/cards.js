// The camera cards of the grid, and the enlarged camera.

import {decimal, milliseconds, number, setFacts, setIcon, setText} from "/panels.js";
import {cameraPath} from "/api.js";
import {Feed, View, colorOf} from "/view.js";
import {shapesOf} from "/shapes.js";

export const STATE_TEXT = {
  connecting: "Connecting", live: "Live", stalled: "Stalled", frozen: "Frozen", black: "Black",
  offline: "Offline", unauthorized: "Unauthorized", paused: "Paused", ended: "Ended",
  waiting: "Waiting for a node", unreachable: "Node does not reply", // of a cluster
};
const DESCRIBE_MS = 5000; // how often the description for screen readers changes

function showState(node, camera) {
  node.dataset.state = camera.state;
  setIcon(node, STATE_TEXT[camera.state] ? camera.state : "none");
  setText(node.querySelector("span"), STATE_TEXT[camera.state] ?? camera.state);
}

// The overlay for states other than live; a black or frozen frame remains visible under it.
function showVeil(node, camera) {
  const quiet = camera.state === "live";
  node.hidden = quiet;
  if (quiet)
    return;
  node.dataset.state = camera.state;
  setIcon(node, STATE_TEXT[camera.state] ? camera.state : "none");
  setText(node.querySelector("strong"), STATE_TEXT[camera.state] ?? camera.state);
  setText(node.querySelector("span"), camera.reason ?? "");
}

// Shows an MJPEG <img> over the canvas, or removes it.
function setImage(stage, name, wanted) {
  let image = stage.querySelector("img");
  if (image && (!wanted || image.dataset.camera !== name)) {
    image.removeAttribute("src"); // ends the request
    image.remove();
    image = null;
  }
  if (wanted && !image) {
    image = document.createElement("img");
    image.dataset.camera = name;
    image.alt = "";
    image.src = `/api/v2/${cameraPath(name, "/stream.mjpg")}?annotated=1`;
    stage.querySelector("canvas").after(image);
  }
}

// One row for each line and zone.
function fillCounts(list, setup, counts) {
  const shapes = shapesOf(setup, {width: 1, height: 1, units: 1});
  list.hidden = shapes.length === 0;
  while (list.children.length > shapes.length)
    list.lastElementChild.remove();
  shapes.forEach((shape, i) => {
    let row = list.children[i];
    if (!row) {
      row = document.createElement("li");
      row.append(document.createElement("span"), document.createElement("strong"));
      list.append(row);
    }
    row.dataset.kind = shape.kind;
    row.title = counts.detail(shape);
    setText(row.firstElementChild, shape.item.name);
    setText(row.lastElementChild, counts.text(shape));
  });
}

function describe(canvas, camera) {
  const people = `${camera.tracks} ${camera.tracks === 1 ? "track" : "tracks"}`;
  canvas.setAttribute("aria-label",
    `Frame of camera ${camera.name}: ${STATE_TEXT[camera.state] ?? camera.state}, ${people}`);
}

export class Card {
  visible = false;
  state = null;
  camera = null;
  feed = new Feed();
  #view;
  #described = -DESCRIBE_MS;

  constructor(name, {onEnlarge, onPause, onRemove}) {
    this.name = name;
    this.node = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.node.dataset.camera = name;
    this.canvas = this.node.querySelector("canvas");
    this.node.querySelector("h3").textContent = name;
    this.node.querySelector("h3").title = name;
    this.#view = new View(this.canvas);
    this.#view.show(this.feed);
    const button = (key) => this.node.querySelector(`[data-do=${key}]`);
    button("enlarge").setAttribute("aria-label", `Enlarge ${name}`);
    button("remove").setAttribute("aria-label", `Remove ${name}`);
    button("enlarge").addEventListener("click", onEnlarge);
    button("remove").addEventListener("click", onRemove);
    button("pause").addEventListener("click", () => onPause(this.state === "paused" ? "resume" : "pause"));
    // The same as the enlarge button, for the mouse only: one tab stop less.
    const frame = this.node.querySelector(".frame");
    frame.tabIndex = -1;
    frame.addEventListener("click", onEnlarge);
  }

  get widthPx() {
    return this.canvas.clientWidth * Math.min(devicePixelRatio || 1, 2);
  }

  update(camera) {
    this.camera = camera;
    this.state = camera.state;
    showState(this.node.querySelector(".state"), camera);
    showVeil(this.node.querySelector(".veil"), camera);
    const pause = this.node.querySelector("[data-do=pause]"), paused = camera.state === "paused";
    setIcon(pause, paused ? "play" : "paused");
    pause.setAttribute("aria-label", `${paused ? "Resume" : "Pause"} ${camera.name}`);
    const fact = (key, text) => setText(this.node.querySelector(`[data-fact=${key}]`), text);
    fact("camera_fps", decimal(camera.camera_fps));
    fact("inferred_fps", decimal(camera.inferred_fps));
    fact("latency", camera.camera_fps > 0 ? milliseconds(camera.latency_ms?.p50) : "–");
    fact("tracks", number.format(camera.tracks));
    const now = performance.now();
    if (now - this.#described >= DESCRIBE_MS) {
      this.#described = now;
      describe(this.canvas, camera);
    }
  }

  // Counts of the camera's lines and zones.
  showCounts(counts) {
    const setup = counts.of(this.name);
    this.feed.setup = setup;
    this.feed.counts = counts;
    fillCounts(this.node.querySelector(".counts"), setup, counts);
  }

  setError(text) {
    const node = this.node.querySelector(".error");
    node.hidden = !text;
    setText(node, text ?? "");
  }

  setMjpeg(wanted) {
    setImage(this.node.querySelector(".stage"), this.name, wanted);
  }

  close() {
    this.setMjpeg(false);
    this.#view.close();
    this.feed.close();
    this.node.remove();
  }
}

// INFERENCE=need: what its audits found.
function audited(inference) {
  if (inference?.policy !== "need")
    return [];
  const {sightings, missed, missed_share_max: bound, level} = inference.audit;
  return [
    ["People missed", sightings ? `${number.format(missed)} of ${number.format(sightings)} seen in audits` : null],
    ["At most missed", sightings ? `${decimal(100 * bound)} % (95 %)` : null],
    ["Strictness", level === 3 ? "3 (every frame)" : number.format(level)],
  ];
}

export class Enlarged {
  card = null;
  #dialog;
  #view;
  #handlers;

  constructor(dialog, handlers) {
    this.#dialog = dialog;
    this.#handlers = handlers; // onChange(), neighbour(name, step) -> card
    this.#view = new View(document.getElementById("big-canvas"));
    document.getElementById("big-close").addEventListener("click", () => this.close());
    document.getElementById("big-previous").addEventListener("click", () => this.#step(-1));
    document.getElementById("big-next").addEventListener("click", () => this.#step(1));
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight")
        this.#step(event.key === "ArrowLeft" ? -1 : 1);
    });
    dialog.addEventListener("close", () => {
      this.setMjpeg(false);
      this.card = null;
      this.#view.show(null);
      this.#handlers.onChange();
    });
  }

  open(card) {
    this.card = card;
    this.#view.show(card.feed);
    this.update();
    if (!this.#dialog.open)
      this.#dialog.showModal();
    this.#handlers.onChange();
  }

  close() {
    this.#dialog.close();
  }

  setMjpeg(wanted) {
    setImage(this.#dialog.querySelector(".stage"), this.card?.name ?? "", wanted && this.card !== null);
  }

  #step(step) {
    const next = this.card && this.#handlers.neighbour(this.card.name, step);
    if (next && next !== this.card)
      this.open(next);
  }

  update() {
    const camera = this.card?.camera;
    if (!camera)
      return;
    setText(document.getElementById("big-name"), camera.name);
    showState(this.#dialog.querySelector(".state"), camera);
    showVeil(this.#dialog.querySelector(".veil"), camera);
    describe(document.getElementById("big-canvas"), camera);
    const {ledger, inference} = camera;
    setFacts(document.getElementById("big-facts"), [
      ["Address", camera.url],
      ["Node", camera.node],
      ["Frame", camera.width ? `${camera.width} × ${camera.height} ${camera.codec ?? ""}` : null],
      ["Camera fps", decimal(camera.camera_fps)],
      ["Inferred fps", decimal(camera.inferred_fps)],
      ["Latency p50", milliseconds(camera.latency_ms?.p50)],
      ["Latency p95", milliseconds(camera.latency_ms?.p95)],
      ["Reconnects", number.format(camera.reconnects)],
      ["Received", number.format(ledger.received)],
      ["Inferred", number.format(ledger.inferred)],
      ...audited(inference),
    ]);
    if (this.card.feed.counts)
      fillCounts(document.getElementById("big-counts"), this.card.feed.setup, this.card.feed.counts);
    document.getElementById("big-edit").href = `/lines.html?camera=${encodeURIComponent(camera.name)}`;
    this.#tracks(this.card.feed.message?.tracks ?? []);
  }

  #tracks(tracks) {
    const list = document.getElementById("big-tracks");
    list.replaceChildren(...tracks.map(({id, confidence}) => {
      const item = document.createElement("li"), swatch = document.createElement("i");
      swatch.style.setProperty("--color", colorOf(id).css);
      item.append(swatch, `${id}`, Object.assign(document.createElement("span"), {textContent: confidence.toFixed(2)}));
      return item;
    }));
  }
}
