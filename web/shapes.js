// Lines and zones: from the API's form to points of a drawing and back, and drawn on a canvas or as SVG.

import {call, current} from "/api.js";
import {placesAround} from "/labels.js";
import {svg} from "/plan.js";

export const LINE_COLOUR = "#ffcf3f", ZONE_COLOUR = "#62d4ff";
const RIM = "rgb(0 0 0 / 70%)", INK = "#0a0a0a";
const COUNTS_MS = 1000;

// What a unit of the item is in the drawing: `size` has the frame's width and height, or, of the map, units (per
// metre).
function scaleOf(unit, size) {
  return unit === "m" ? [size.units, size.units] : unit === "px" ? [1, 1] : [size.width, size.height];
}

// [{kind, points, item}] in units of the drawing; `item` is the entry of the API.
export function shapesOf({lines = [], zones = []}, size) {
  const shape = (kind, item, corners) => {
    const [x, y] = scaleOf(item.unit, size);
    return {kind, item, points: corners.map((point) => [point[0] * x, point[1] * y])};
  };
  return [...zones.map((item) => shape("zone", item, item.polygon)),
          ...lines.map((item) => shape("line", item, item.points))];
}

// The other way round: {lines, zones} for PUT.
export function setupOf(shapes, size) {
  const setup = {lines: [], zones: []};
  for (const {kind, item, points} of shapes) {
    const [x, y] = scaleOf(item.unit, size), digits = item.unit === "fraction" ? 1e4 : 1e2;
    const corners = points.map((point) => [Math.round(point[0] / x * digits) / digits,
                                           Math.round(point[1] / y * digits) / digits]);
    setup[kind === "line" ? "lines" : "zones"].push(
      {...item, [kind === "line" ? "points" : "polygon"]: corners});
  }
  return setup;
}

// The direction of "in": from the line's left to its right, looking from its first point to its second.
export function inward([a, b], flipped = false) {
  const dx = b[0] - a[0], dy = b[1] - a[1], length = Math.hypot(dx, dy) || 1, sign = flipped ? -1 : 1;
  return [-dy / length * sign, dx / length * sign];
}

// The middle of a line, and of the corners of a zone.
export function middleOf(points) {
  const sum = points.reduce(([x, y], point) => [x + point[0], y + point[1]], [0, 0]);
  return sum.map((value) => value / points.length);
}

// --- counts -----------------------------------------------------------------------------------

// Lines, zones and counts of the whole server. The lines and zones are read again when they have changed.
export class Counts {
  setup = null;
  #counts = null;
  #version = null;
  #read = -Infinity;

  // Requests at most once a second; true: something changed.
  async update() {
    if (performance.now() - this.#read < COUNTS_MS)
      return false;
    this.#read = performance.now();
    const [counts, setup] = await current(async () => {
      const counts = await call("GET", "counts");
      return [counts, counts.version === this.#version ? this.setup : await call("GET", "analytics")];
    });
    this.#counts = counts;
    this.setup = setup;
    this.#version = setup.version;
    return true;
  }

  forget() {
    this.#version = null;
    this.#read = -Infinity;
  }

  of(camera) {
    return this.setup?.cameras.find((each) => each.camera === camera) ?? {lines: [], zones: []};
  }

  get map() {
    return this.setup?.map ?? {lines: [], zones: []};
  }

  line(name) {
    return this.#counts?.lines.find(({line}) => line === name) ?? null;
  }

  zone(name) {
    return this.#counts?.zones.find(({zone}) => zone === name) ?? null;
  }

  // "3 in · 2 out", since midnight; "4 inside (4–5)".
  text({kind, item}) {
    if (kind === "line") {
      const line = this.line(item.name);
      return line ? `${line.in.since} ${line.in.name} · ${line.out.since} ${line.out.name}` : "";
    }
    const zone = this.zone(item.name);
    if (!zone)
      return "";
    const {people, low, high} = zone.occupancy;
    return `${people} inside${low === high ? "" : ` (${low}–${high})`}`;
  }

  // More of the same, for lists.
  detail({kind, item}) {
    const line = kind === "line" ? this.line(item.name) : null;
    if (line)
      return `${line.in.total} ${line.in.name}, ${line.out.total} ${line.out.name} since the start`;
    const zone = kind === "zone" ? this.zone(item.name) : null;
    if (!zone)
      return "";
    const dwell = zone.dwell_s.visits ? `, dwell ${zone.dwell_s.p50} s (90 %: ${zone.dwell_s.p90} s)` : "";
    return `${zone.visits.since} visits today${dwell}`;
  }
}

// --- canvas -----------------------------------------------------------------------------------

// Over a frame; atX, atY: from pixels of the frame to the canvas.
export function drawShapes(c, shapes, {atX, atY, line, text, counts, widthPx}) {
  c.save();
  c.setLineDash([]);
  c.lineJoin = c.lineCap = "round";
  for (const {kind, points} of shapes) {
    const colour = kind === "line" ? LINE_COLOUR : ZONE_COLOUR;
    c.beginPath();
    points.forEach(([x, y], i) => (i ? c.lineTo(atX(x), atY(y)) : c.moveTo(atX(x), atY(y))));
    if (kind === "zone") {
      c.closePath();
      c.fillStyle = `${ZONE_COLOUR}26`;
      c.fill();
    } else {
      const at = points.map(([x, y]) => [atX(x), atY(y)]), [mx, my] = middleOf(at), [nx, ny] = inward(at);
      const size = 7 * line;
      c.moveTo(mx, my);
      c.lineTo(mx + nx * size, my + ny * size);
      c.moveTo(mx + nx * size - (nx - ny) * size * 0.4, my + ny * size - (ny + nx) * size * 0.4);
      c.lineTo(mx + nx * size, my + ny * size);
      c.lineTo(mx + nx * size - (nx + ny) * size * 0.4, my + ny * size - (ny - nx) * size * 0.4);
    }
    for (const [style, width] of [[RIM, 2.4], [colour, 1.2]]) {
      c.strokeStyle = style;
      c.lineWidth = width * line;
      c.stroke();
    }
  }
  c.font = `600 ${text}px system-ui, sans-serif`;
  c.textBaseline = "middle";
  for (const shape of shapes) {
    const label = [shape.item.name, counts?.text(shape)].filter(Boolean).join(": ");
    const [x, y] = shape.kind === "line" ? shape.points[0] : shape.points.reduce((a, b) => (b[1] < a[1] ? b : a));
    const w = c.measureText(label).width + 0.7 * text, h = 1.35 * text;
    const left = Math.max(0, Math.min(atX(x), widthPx - w)), top = Math.max(0, atY(y) - (shape.kind === "line" ? h : 0));
    c.fillStyle = shape.kind === "line" ? LINE_COLOUR : ZONE_COLOUR;
    c.fillRect(left, top, w, h);
    c.fillStyle = INK;
    c.fillText(label, left + 0.35 * text, top + h / 2 + 0.05 * text);
  }
  c.restore();
}

// --- SVG --------------------------------------------------------------------------------------

// Outlines of a shape; `unit`: the size of a pixel in units of the drawing.
export function outlineOf({kind, points}, unit, flipped = false) {
  const group = svg("g", {class: `shape ${kind}`});
  const path = points.map((point) => point.join(" ")).join("L");
  if (kind === "zone") {
    for (const rim of [true, false])
      group.append(svg("path", {class: rim ? "rim" : "edge", d: `M${path}Z`}));
    return group;
  }
  const [mx, my] = middleOf(points), [nx, ny] = inward(points, flipped), size = 16 * unit, wing = 6 * unit;
  const tip = [mx + nx * size, my + ny * size];
  const arrow = `M${mx} ${my}L${tip}M${tip[0] - (nx - ny) * wing} ${tip[1] - (ny + nx) * wing}L${tip}` +
    `L${tip[0] - (nx + ny) * wing} ${tip[1] - (ny - nx) * wing}`;
  for (const rim of [true, false])
    group.append(svg("path", {class: rim ? "rim" : "edge", d: `M${path}${arrow}`}));
  return group;
}

// The name with the counts, placed where there is space.
export function labelOf(shape, text, labels) {
  const [x, y] = shape.kind === "line" ? shape.points[0] : middleOf(shape.points);
  const box = labels.place(text, placesAround(x, y, labels.text * 0.5, labels.size(text)));
  return labels.plate(text, box, shape.kind === "line" ? LINE_COLOUR : ZONE_COLOUR);
}
