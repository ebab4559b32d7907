// The page of lines and zones: draws them over a camera's frame or over the map, and counts live.

import {ApiError, call, cameraPath} from "/api.js";
import {Editor} from "/editor.js";
import {clear, drawGround, extentOf, svg} from "/plan.js";
import {Counts, setupOf, shapesOf} from "/shapes.js";

const POLL_MS = 1000;
const WEEK_MS = 7 * 86400e3;
const MAP = "\u0000map"; // no camera's name
const $ = (id) => document.getElementById(id);
const HINTS = {
  line: "Drag from the first point to the second, or press both points. Enter places a line in the middle. Escape cancels.",
  zone: "Press the corners in order; press the first corner again, double-click or press Enter to complete. Escape cancels.",
  none: "Select a line or zone to change it. Drag points, or move them with the arrow keys (Shift: finer); Delete removes a corner.",
};
const counts = new Counts();
let cameras = new Map(), map = null, scope = null, shapes = [], selected = null, dirty = false, size = null, known = null;
let still = null; // the frame's <image>
let counting = false; // the last week, as drawn

const theme = (() => {
  try {
    return localStorage.getItem("spoton-theme");
  } catch {
    return null; // storage may be disabled
  }
})();
if (theme === "light" || theme === "dark")
  document.documentElement.dataset.theme = theme;

const onMap = () => scope === MAP;
const path = () => (onMap() ? "map/analytics" : cameraPath(scope, "/analytics"));
const stored = () => (onMap() ? counts.map : counts.of(scope));

function say(text, bad = false) {
  $("verdict").textContent = text;
  $("verdict").classList.toggle("bad", bad);
}

function tell(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text ?? "";
}

// Errors of requests; anything else is a fault of this page.
function failed(error) {
  if (!(error instanceof ApiError))
    throw error;
  say(error.message, true);
}

// --- the drawing ------------------------------------------------------------------------------

const labelText = (shape) => [shape.item.name, counts.text(shape)].filter(Boolean).join(": ");

const editor = new Editor($("drawing"), $("shapes"), {
  onAdd: (kind, points) => {
    const item = {name: freeName(kind), unit: onMap() ? "m" : "fraction", anchor: "foot",
                  ...(kind === "line" ? {in: "in", out: "out"} : {})};
    const shape = {kind, item, points};
    shapes.push(shape);
    choose(shape);
    changed();
    return shape;
  },
  onChange: () => changed(),
  onSelect: (shape) => choose(shape),
  onDrawing: (kind) => {
    $("add-line").setAttribute("aria-pressed", String(kind === "line"));
    $("add-zone").setAttribute("aria-pressed", String(kind === "zone"));
    $("drawing").classList.toggle("adding", kind !== null);
    $("hint").textContent = HINTS[kind ?? "none"];
  },
});

function freeName(kind) {
  const taken = new Set(shapes.map(({item}) => item.name));
  for (let i = 1; ; i++)
    if (!taken.has(`${kind} ${i}`))
      return `${kind} ${i}`;
}

function extent() {
  return onMap() ? extentOf(map) : {x: 0, y: 0, width: size.width, height: size.height};
}

function show() {
  if (!size)
    return;
  editor.show(shapes, extent(), {flipped: onMap() && map.y_axis === "up", text: labelText});
}

function changed() {
  dirty = true;
  say("");
  show();
  list();
}

// Takes the stored lines and zones over, unless they are being edited.
function load() {
  known = counts.setup?.version ?? null;
  const keep = selected?.item.name;
  shapes = shapesOf(stored(), size);
  selected = shapes.find(({item}) => item.name === keep) ?? null;
  dirty = false;
  $("source").textContent = stored().edited ? "edited here" : shapes.length ? "from spoton.yaml" : "";
  $("revert").hidden = !stored().edited;
  show();
  editor.select(selected);
  list();
}

function drawBackground() {
  const ground = $("ground"), {x, y, width, height} = extent();
  clear(ground);
  $("drawing").setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  $("drawing").classList.toggle("on-map", onMap());
  $("drawing").style.aspectRatio = `${width} / ${height}`;
  still = null;
  if (onMap()) {
    const inner = svg("svg", {x, y, width, height});
    drawGround(inner, map, extentOf(map));
    ground.append(...inner.childNodes);
  } else {
    still = svg("image", {x, y, width, height, preserveAspectRatio: "none"});
    ground.append(still);
    refresh();
  }
}

// Loaded first, so that the drawing does not flicker.
function refresh() {
  const image = new Image(), into = still, camera = cameras.get(scope);
  if (!into || !camera || document.hidden)
    return;
  $("no-frame").hidden = camera.ledger.inferred > 0;
  if (camera.ledger.inferred === 0)
    return;
  image.src = `/api/v2/${cameraPath(scope, "/frame.jpg")}?width=1280&at=${Date.now()}`;
  image.decode().then(() => into.setAttribute("href", image.src), () => {});
}

// --- the list and the form --------------------------------------------------------------------

function list() {
  const had = document.activeElement?.closest("#list button")?.dataset.index;
  const rows = shapes.map((shape, index) => {
    const row = document.createElement("li"), button = document.createElement("button");
    const part = (tag, text, name) => {
      const node = document.createElement(tag);
      node.textContent = text;
      node.className = name ?? "";
      button.append(node);
    };
    row.className = shape.kind;
    button.type = "button";
    button.dataset.index = index;
    button.setAttribute("aria-pressed", String(shape === selected));
    part("span", "", "swatch");
    part("strong", shape.item.name);
    part("span", counts.text(shape), "count");
    part("small", counts.detail(shape));
    button.addEventListener("click", () => {
      choose(shape === selected ? null : shape);
      editor.select(selected);
    });
    row.append(button);
    return row;
  });
  $("list").replaceChildren(...rows);
  $("none").hidden = shapes.length > 0;
  $("save").disabled = $("discard").disabled = !dirty;
  $("count-week").disabled = counting || shapes.length === 0;
  if (had !== undefined)
    $("list").querySelector(`[data-index="${had}"]`)?.focus({preventScroll: true});
}

function choose(shape) {
  selected = shape;
  const form = $("form").elements;
  $("form").hidden = !shape;
  list();
  if (!shape)
    return;
  const line = shape.kind === "line";
  $("form-title").textContent = line ? "Line" : "Zone";
  $("form").querySelector(".of-line").hidden = !line;
  $("form").querySelector(".of-zone").hidden = line;
  $("form").querySelector(".of-camera").hidden = onMap();
  for (const key of ["name", "in", "out", "crowded", "loitering_s"])
    form[key].value = shape.item[key] ?? "";
  form.anchor.value = shape.item.anchor ?? "foot";
}

$("form").addEventListener("input", (event) => {
  const {name, value, type} = event.target;
  if (!selected || !name)
    return;
  if (value === "" && type === "number")
    delete selected.item[name];
  else
    selected.item[name] = type === "number" ? Number(value) : value;
  changed();
});
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  save();
});
$("reverse").addEventListener("click", () => {
  selected.points.reverse();
  changed();
});
$("delete").addEventListener("click", () => {
  shapes.splice(shapes.indexOf(selected), 1);
  choose(null);
  changed();
  $("add-line").focus();
});

// --- saving -----------------------------------------------------------------------------------

async function save() {
  const names = new Map();
  try {
    await call("PUT", path(), setupOf(shapes, size));
    dirty = false;
    counts.forget();
    await counts.update();
    load();
    say("Saved, and in effect.");
  } catch (error) {
    failed(error);
  }
  return names;
}

$("save").addEventListener("click", save);
$("discard").addEventListener("click", () => {
  load();
  choose(null);
  say("");
});
$("revert").addEventListener("click", async () => {
  try {
    await call("DELETE", path());
    counts.forget();
    await counts.update();
    load();
    choose(null);
    say("Those of spoton.yaml are in effect.");
  } catch (error) {
    failed(error);
  }
});
// As drawn, saved or not: from the stored tracks.
async function countWeek() {
  const to = new Date(), from = new Date(to - WEEK_MS), setup = setupOf(shapes, size);
  counting = true;
  say("Counting the stored tracks of the last week.");
  list();
  try {
    const body = {from: from.toISOString(), to: to.toISOString(), bucket: "day",
                  ...(onMap() ? {map: setup} : {cameras: [{name: scope, ...setup}]})};
    const found = await call("POST", "history/evaluate", body); // the server ends within 30 s
    const sums = setup.lines.map(({name}) => {
      const ways = found.lines.filter(({line}) => line === name).map(({direction, total}) => `${total} ${direction}`);
      return `${name}: ${ways.join(", ") || "0"}`;
    });
    for (const {name} of setup.zones)
      sums.push(`${name}: ${found.zones.find(({zone}) => zone === name)?.visits ?? 0} visits`);
    const until = found.complete ? "" : ` until ${new Date(found.to).toLocaleString()}`;
    say(`Last week${until}: ${sums.join("; ")}.`);
  } catch (error) {
    failed(error);
  } finally {
    counting = false;
    list();
  }
}

$("count-week").addEventListener("click", countWeek);
for (const kind of ["line", "zone"])
  $(`add-${kind}`).addEventListener("click", () => {
    if (editor.drawing === kind) {
      editor.end();
      return;
    }
    choose(null);
    editor.begin(kind);
  });
addEventListener("beforeunload", (event) => {
  if (dirty)
    event.preventDefault();
});

// --- all of it --------------------------------------------------------------------------------

function sizeOf(camera) {
  return {width: camera.width || 1280, height: camera.height || 720};
}

function open(name) {
  scope = name;
  $("scope").value = name;
  size = onMap() ? {units: map.units_per_m} : sizeOf(cameras.get(name));
  $("no-frame").hidden = true;
  editor.end();
  drawBackground();
  choose(null);
  load();
  say("");
  history.replaceState(null, "", onMap() ? "?map" : `?camera=${encodeURIComponent(name)}`);
}

function fillScopes() {
  const names = [...cameras.keys(), ...(map ? [MAP] : [])];
  const options = [...$("scope").options].map(({value}) => value);
  if (names.join("\n") === options.join("\n"))
    return;
  $("scope").replaceChildren(...names.map((name) => new Option(name === MAP ? "Map (all cameras)" : name, name)));
  const query = new URLSearchParams(location.search);
  const asked = scope ?? (query.has("map") ? MAP : query.get("camera"));
  const first = names.includes(asked) ? asked : names[0];
  if (first === undefined)
    tell("No cameras. Add one on the page Cameras.");
  else if (first !== scope)
    open(first);
  else
    $("scope").value = scope;
}

$("scope").addEventListener("change", () => {
  if (dirty && !confirm("Discard the changes?")) {
    $("scope").value = scope;
    return;
  }
  open($("scope").value);
});

async function update() {
  const [described, settings] = await Promise.all([call("GET", "cameras"), map === null ? call("GET", "settings") : null]);
  cameras = new Map(described.cameras.map((camera) => [camera.name, camera]));
  if (settings)
    map = settings.settings.SPATIAL_MATCH_ENABLED !== "false" ? await call("GET", "map") : false;
  await counts.update();
  tell(null);
  fillScopes();
  if (!scope)
    return;
  const camera = cameras.get(scope);
  if (!onMap() && camera?.width && (camera.width !== size.width || camera.height !== size.height) && !dirty)
    open(scope);
  else if (!dirty && known !== counts.setup.version && !editor.drawing)
    load();
  else if (!editor.drawing)
    show();
  list();
  refresh();
}

async function poll() {
  try {
    if (!document.hidden)
      await update();
    $("link").dataset.link = "live";
    $("link").textContent = "Connected";
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

new ResizeObserver(show).observe($("drawing"));
poll();
