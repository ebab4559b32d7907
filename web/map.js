// The map page: people on the map, association events, camera frames, and calibration.

import {ApiError, call, cameraPath, current} from "/api.js";
import {Calibration} from "/calibration.js";
import {STATE_TEXT} from "/cards.js";
import {awayText, Labels, pixelOf, placesAround, placesOfBox} from "/labels.js";
import {clear, drawGround, extentOf, svg} from "/plan.js";
import {Counts, labelOf, outlineOf, shapesOf} from "/shapes.js";
import {colorOf} from "/view.js";

const POLL_MS = 500, FRAME_MS = 300;
const $ = (id) => document.getElementById(id);
const EVENTS_SHOWN = 40;
const counts = new Counts();
const boxes = new Map(); // the newest message of each camera
const shown = new Map(); // the message that belongs to the image shown
let cameras = new Map(); // by name, from /api/v2/cameras
let map = null, mapped = null, people = [], focused = null, hovered = null, events = [], serial = 0;

const theme = (() => {
  try {
    return localStorage.getItem("spoton-theme");
  } catch {
    return null; // storage may be disabled
  }
})();
if (theme === "light" || theme === "dark")
  document.documentElement.dataset.theme = theme;

const colourOf = (person) => colorOf(Number(person.slice(1))).css;

function tell(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text ?? "";
}

// --- the live map -----------------------------------------------------------------------------

const DOT_PX = 6, BIG_DOT_PX = 9;

function drawPerson(plan, person, pixel) {
  const group = svg("g", {class: `person${person.visible ? "" : " away"}`});
  const colour = colourOf(person.person);
  group.classList.toggle("dimmed", Boolean(focused) && focused !== person.person);
  group.dataset.person = person.person;
  const path = person.trail.map(([x, y]) => `${x},${y}`).join(" ");
  group.append(svg("polyline", {class: "trail rim", points: path}),
               svg("polyline", {class: "trail", points: path, stroke: colour}));
  group.append(svg("circle", {class: "spread", cx: person.x, cy: person.y, fill: colour,
                              r: Math.min(person.deviation_m * 2, 3) * map.units_per_m}));
  const big = person.person === hovered || person.person === focused;
  group.append(svg("circle", {cx: person.x, cy: person.y, r: (big ? BIG_DOT_PX : DOT_PX) * pixel,
                              fill: colour}));
  group.addEventListener("pointerenter", () => hover(person.person));
  group.addEventListener("pointerleave", () => hover(null));
  group.addEventListener("click", () => focus(person.person));
  plan.append(group);
  return group;
}

// In a crowd, a line connects the label to its dot. People who are not visible, or not focused while
// another person is, are labelled only where there is space.
function namePerson(group, person, labels, pixel) {
  const {x, y} = person, radius = DOT_PX * pixel;
  const optional = !person.visible || (focused && person.person !== focused);
  const places = placesAround(x, y, radius, labels.size(person.person));
  const box = labels.place(person.person, places, optional);
  if (!box)
    return;
  const to = [Math.max(box.x, Math.min(x, box.x + box.width)),
              Math.max(box.y, Math.min(y, box.y + box.height))];
  const colour = colourOf(person.person);
  if (Math.hypot(to[0] - x, to[1] - y) > 1.5 * radius)
    group.append(svg("path", {class: "leader", d: `M${x} ${y}L${to}`, stroke: colour}));
  group.append(labels.plate(person.person, box, colour));
}

function drawMap() {
  const plan = $("plan"), extent = extentOf(map, people);
  clear(plan);
  const pixel = pixelOf(plan, extent), labels = new Labels(extent, pixel);
  drawGround(plan, map, extent, {labels});
  const lines = shapesOf(counts.map, {units: map.units_per_m});
  for (const shape of lines)
    plan.append(outlineOf(shape, pixel, map.y_axis === "up"));
  for (const shape of lines)
    plan.append(labelOf(shape, [shape.item.name, counts.text(shape)].filter(Boolean).join(": "), labels));
  const rank = ({person, visible}) => (person === focused ? 2 : 0) + visible;
  const drawn = [...people].sort((a, b) => rank(a) - rank(b))
    .map((person) => [drawPerson(plan, person, pixel), person]).reverse();
  for (const [, {x, y, visible}] of drawn)
    if (visible)
      labels.occupy({x: x - DOT_PX * pixel / 2, y: y - DOT_PX * pixel / 2, width: DOT_PX * pixel,
                     height: DOT_PX * pixel});
  for (const [group, person] of drawn)
    namePerson(group, person, labels, pixel);
  const seen = people.filter(({visible}) => visible).length;
  $("map-count").textContent = `${seen} visible, ${people.length - seen} remembered`;
}

function listPeople() {
  const list = $("people"), had = document.activeElement?.dataset?.person;
  clear(list);
  $("people-none").hidden = people.length > 0;
  for (const person of [...people].sort((a, b) => b.visible - a.visible)) {
    const item = document.createElement("li"), button = document.createElement("button");
    const dot = document.createElement("span"), text = document.createElement("span");
    dot.className = "dot";
    dot.style.background = colourOf(person.person);
    const where = person.visible ? person.observations.map(({camera}) => camera).join(", ")
      : awayText(person.unseen_s);
    text.textContent = `${person.person}: ${where}`;
    button.type = "button";
    button.dataset.person = person.person;
    button.setAttribute("aria-pressed", String(focused === person.person));
    button.title = reason(person.why);
    button.append(dot, text);
    button.addEventListener("click", () => focus(person.person));
    button.addEventListener("pointerenter", () => hover(person.person));
    button.addEventListener("pointerleave", () => hover(null));
    button.addEventListener("focus", () => hover(person.person));
    item.append(button);
    list.append(item);
  }
  if (had)
    list.querySelector(`[data-person="${CSS.escape(had)}"]`)?.focus({preventScroll: true});
}

function hover(person) {
  if (hovered === person)
    return;
  hovered = person;
  drawBoxes();
}

function focus(person) {
  focused = focused === person ? null : person;
  drawMap();
  listPeople();
  drawBoxes();
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && focused)
    focus(focused);
});

// --- association events --------------------------------------------------------------------------------------

function reason(event) {
  const whom = event.other ? ` (${event.other})` : "";
  const track = event.camera ? `, track ${event.track} of ${event.camera}` : "";
  const parts = [];
  if (event.distance_m !== undefined)
    parts.push(`${event.distance_m} m apart`);
  if (event.deviations !== undefined)
    parts.push(`${event.deviations} deviations`);
  if (event.time_s)
    parts.push(`for ${event.time_s} s`);
  if (event.similarity !== undefined)
    parts.push(`similarity ${event.similarity}`);
  if (event.votes)
    parts.push(`${event.votes} ${event.votes === 1 ? "camera agrees" : "cameras agree"}`);
  return `${event.person} ${event.what}${whom}${track}${parts.length ? `: ${parts.join(", ")}` : ""}`;
}

function showEvents(fresh) {
  if (!fresh.length)
    return;
  serial = fresh[fresh.length - 1].serial;
  $("events-none").hidden = true;
  events = [...events, ...fresh].slice(-EVENTS_SHOWN);
  clear($("events"));
  for (const event of [...events].reverse()) {
    const item = document.createElement("li");
    item.textContent = reason(event);
    $("events").append(item);
  }
}

// --- camera frames -----------------------------------------------------------------------------

// Before a camera's first frame, frame.jpg is 404.
const hasFrame = (camera) => Boolean(camera) && (boxes.has(camera.name) || camera.ledger.inferred > 2);

function stateText({state, reason}) {
  return [STATE_TEXT[state] ?? state, reason].filter(Boolean).join(": ");
}

function makeCamera(name) {
  const item = document.createElement("li"), figure = document.createElement("figure");
  const image = document.createElement("img"), caption = document.createElement("figcaption");
  const state = document.createElement("p");
  image.alt = `Camera ${name}`;
  image.hidden = true; // until it has loaded
  state.className = "cover";
  // Single JPEGs, one after the other: MJPEG streams would use up the browser's connections to this
  // host. Each image is shown with the boxes received at the same time.
  const next = () => {
    const camera = cameras.get(name);
    if (item.isConnected && !document.hidden && hasFrame(camera) && camera.state !== "offline")
      image.src = `/api/v2/${cameraPath(name, "/frame.jpg")}?width=480&at=${Date.now()}`;
    else if (item.isConnected)
      setTimeout(next, FRAME_MS);
  };
  image.addEventListener("load", () => {
    image.hidden = false;
    shown.set(name, boxes.get(name));
    drawBoxes();
    setTimeout(next, FRAME_MS);
  });
  image.addEventListener("error", () => {
    image.hidden = true;
    setTimeout(next, 5 * FRAME_MS);
  });
  queueMicrotask(next);
  caption.textContent = name;
  item.dataset.camera = name;
  figure.append(image, svg("svg", {"aria-hidden": "true"}), state, caption);
  item.append(figure);
  return item;
}

function showCameras() {
  const list = $("frames");
  for (const item of [...list.children])
    if (!cameras.has(item.dataset.camera)) {
      boxes.delete(item.dataset.camera);
      shown.delete(item.dataset.camera);
      item.remove();
    }
  for (const [name, camera] of cameras) {
    let item = list.querySelector(`[data-camera="${CSS.escape(name)}"]`);
    if (!item) {
      item = makeCamera(name);
      list.append(item);
    }
    const state = item.querySelector(".cover"), text = stateText(camera);
    state.hidden = camera.state === "live" && !item.querySelector("img").hidden;
    if (state.textContent !== text)
      state.textContent = text;
    item.classList.toggle("quiet", !state.hidden);
  }
  $("frames-none").hidden = cameras.size > 0;
}

function drawBoxes() {
  for (const item of $("frames").children) {
    const message = shown.get(item.dataset.camera), layer = item.querySelector("svg");
    if (!message)
      continue;
    clear(layer);
    layer.setAttribute("viewBox", `0 0 ${message.width} ${message.height}`);
    layer.style.aspectRatio = item.querySelector("img").style.aspectRatio =
      `${message.width} / ${message.height}`;
    drawPeople(layer, message);
  }
}

function drawPeople(layer, message) {
  const persons = new Map((message.people ?? []).map(({track, person}) => [track, person]));
  const extent = {x: 0, y: 0, width: message.width, height: message.height};
  const labels = new Labels(extent, pixelOf(layer, extent)), named = [];
  for (const [track, x1, y1, x2, y2] of message.tracks) {
    const person = persons.get(track);
    if (focused && person !== focused)
      continue;
    const colour = person ? colourOf(person) : "#fff", on = person && person === hovered;
    const place = {x: x1, y: y1, width: x2 - x1, height: y2 - y1};
    layer.append(svg("rect", {class: "box rim", ...place}),
                 svg("rect", {class: `box${on ? " on" : ""}`, stroke: colour, color: colour, ...place}));
    if (person)
      named.push([person, [x1, y1, x2, y2]]);
  }
  // Labels after all boxes, so that no line crosses them.
  for (const [person, box] of named)
    layer.append(labels.plate(person, labels.place(person, placesOfBox(box, labels.size(person))),
                              colourOf(person)));
}

function listen() {
  const address = new URL("/api/v2/ws?format=json", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.addEventListener("message", ({data}) => {
    const message = JSON.parse(data);
    if (message.type === "tracks")
      boxes.set(message.camera, message);
  });
  socket.addEventListener("close", () => setTimeout(listen, 2000));
}

// --- all of it --------------------------------------------------------------------------------

const calibration = new Calibration({
  tell,
  ready: (name) => hasFrame(cameras.get(name)),
  changed: (found) => {
    map = found;
    drawMap();
  },
});

// Without a map the server has neither people nor calibrations, so they are not requested.
async function update() {
  if (mapped === null) {
    const {settings} = await call("GET", "settings");
    mapped = settings.SPATIAL_MATCH_ENABLED !== "false";
    if (!mapped)
      for (const id of ["map-title", "people-title", "calibration-title"])
        $(id).closest("section").hidden = true;
  }
  const [described, ...found] = await current(() => Promise.all([call("GET", "cameras"), ...(mapped
    ? [call("GET", "map"), call("GET", "people"), call("GET", `people/events?after=${serial}`), counts.update()] : [])]));
  cameras = new Map(described.cameras.map((camera) => [camera.name, camera]));
  if (mapped) {
    map = found[0];
    people = found[1].people;
  }
  if (document.hidden)
    return;
  showCameras();
  if (mapped) {
    drawMap();
    listPeople();
    showEvents(found[2].events);
    calibration.update(map, [...cameras.keys()]);
  }
}

async function poll() {
  try {
    await update();
    $("link").dataset.link = "live";
    $("link").textContent = "Connected";
    tell(mapped ? null : "No map; set SPATIAL_MATCH_ENABLED=true.");
  } catch (error) {
    if (!(error instanceof ApiError))
      throw error;
    $("link").dataset.link = "lost";
    $("link").textContent = error.login ? "Sign in on the page Cameras" : "Connection lost";
    tell(error.message);
  } finally {
    setTimeout(poll, POLL_MS);
  }
}

listen();
poll();
