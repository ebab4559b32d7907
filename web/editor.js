// Draws and edits lines and zones on an SVG, with mouse, touch and keyboard.
//
// Data flow: shapes (shapes.js) -> handles of the SVG -> changed points -> onChange(shape). The page keeps the list of
// shapes; this class changes their points, adds new ones by onAdd(kind, points), and selects by onSelect(shape).
//
// Keyboard: Tab reaches the handles; arrow keys move a point by 1 % of the drawing, with Shift by 0.1 %; Delete
// removes a corner; Escape ends drawing. While drawing, Enter completes a zone, or places a shape in the middle.

import {Labels, pixelOf} from "/labels.js";
import {clear, svg} from "/plan.js";
import {labelOf, outlineOf} from "/shapes.js";

const HANDLE_PX = 7, SMALL_PX = 5, TOUCH_PX = 22, CLICK_PX = 6;
const STEP = 0.01, FINE_STEP = 0.001;
const MOST_CORNERS = 32;
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

export class Editor {
  #svg;
  #layer;
  #handlers;
  #extent = {x: 0, y: 0, width: 1, height: 1};
  #shapes = [];
  #selected = null;
  #drawing = null;  // {kind, points}
  #drag = null;     // {shape, index} or {shape, from, points}
  #flipped = false; // the map's y axis points up
  #text = (shape) => shape.item.name;

  constructor(drawing, layer, handlers) {
    this.#svg = drawing;
    this.#layer = layer;
    this.#handlers = handlers; // onAdd, onChange, onSelect, onDrawing(kind or null)
    drawing.addEventListener("pointerdown", (event) => this.#down(event));
    drawing.addEventListener("pointermove", (event) => this.#move(event));
    drawing.addEventListener("pointerup", (event) => this.#up(event));
    drawing.addEventListener("pointercancel", () => this.#cancel());
    drawing.addEventListener("dblclick", () => this.#complete());
    drawing.addEventListener("keydown", (event) => this.#key(event));
  }

  show(shapes, extent, {flipped = false, text = null} = {}) {
    this.#shapes = shapes;
    this.#extent = extent;
    this.#flipped = flipped;
    this.#text = text ?? this.#text;
    if (!shapes.includes(this.#selected))
      this.#selected = null;
    this.draw();
  }

  select(shape) {
    this.#selected = shape;
    this.draw();
  }

  get drawing() {
    return this.#drawing?.kind ?? null;
  }

  begin(kind) {
    this.#drawing = {kind, points: []};
    this.#selected = null;
    this.#handlers.onDrawing(kind);
    this.draw();
    this.#svg.focus();
  }

  end() {
    this.#drawing = null;
    this.#handlers.onDrawing(null);
    this.draw();
  }

  // --- pointer ---

  #at(event) {
    const {x, y} = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.#svg.getScreenCTM().inverse());
    return this.#clip([x, y]);
  }

  #clip([x, y]) {
    const {x: left, y: top, width, height} = this.#extent;
    return [Math.max(left, Math.min(x, left + width)), Math.max(top, Math.min(y, top + height))];
  }

  #far(a, b) {
    return Math.hypot(a[0] - b[0], a[1] - b[1]) > CLICK_PX * pixelOf(this.#svg, this.#extent);
  }

  #down(event) {
    if (event.button !== 0)
      return;
    const at = this.#at(event);
    if (this.#drawing) {
      event.preventDefault();
      this.#svg.setPointerCapture(event.pointerId);
      this.#drawAt(at);
      return;
    }
    const target = event.target.closest("[data-index], [data-shape]");
    const shape = target ? this.#shapes[Number(target.dataset.shape)] : null;
    if (shape !== this.#selected) {
      this.#selected = shape;
      this.#handlers.onSelect(shape);
    }
    if (shape) {
      event.preventDefault();
      this.#svg.setPointerCapture(event.pointerId);
      if (target.dataset.insert)
        shape.points.splice(Number(target.dataset.index), 0, at);
      this.#drag = target.dataset.index
        ? {shape, index: Number(target.dataset.index)} : {shape, from: at, points: shape.points.map((p) => [...p])};
    }
    this.draw();
  }

  #drawAt(at) {
    const {kind, points} = this.#drawing;
    if (kind === "zone" && points.length >= 3 && !this.#far(at, points[0])) {
      this.#complete();
      return;
    }
    if (kind === "zone" && points.length >= MOST_CORNERS)
      return;
    if (kind === "line" && points.length === 2)
      points.pop();
    points.push(at);
    if (kind === "line" && points.length === 1)
      points.push([...at]);
    this.draw();
  }

  #move(event) {
    const at = this.#at(event);
    if (this.#drawing?.kind === "line" && this.#drawing.points.length === 2) {
      this.#drawing.points[1] = at;
      this.draw();
    } else if (this.#drawing) {
      this.#drawing.next = at;
      this.draw();
    } else if (this.#drag) {
      const {shape, index, from, points} = this.#drag;
      if (from)
        this.#shift(shape, points, [at[0] - from[0], at[1] - from[1]]);
      else
        shape.points[index] = at;
      this.#drag.moved = true;
      this.draw();
    }
  }

  // The whole shape, which stays within the drawing.
  #shift(shape, points, [dx, dy]) {
    const {x, y, width, height} = this.#extent;
    const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
    dx = Math.max(x - Math.min(...xs), Math.min(dx, x + width - Math.max(...xs)));
    dy = Math.max(y - Math.min(...ys), Math.min(dy, y + height - Math.max(...ys)));
    shape.points = points.map((point) => [point[0] + dx, point[1] + dy]);
  }

  #up(event) {
    if (this.#drawing?.kind === "line" && this.#drawing.points.length === 2) {
      const [a, b] = this.#drawing.points;
      if (this.#far(a, b))
        this.#complete(); // else: the second point follows with the next press
      return;
    }
    if (this.#drag) {
      this.#svg.releasePointerCapture?.(event.pointerId);
      const {shape} = this.#drag;
      this.#drag = null;
      this.#handlers.onChange(shape);
    }
  }

  #cancel() {
    this.#drag = null;
    this.draw();
  }

  #complete() {
    const drawn = this.#drawing;
    if (!drawn || drawn.points.length < (drawn.kind === "line" ? 2 : 3))
      return;
    // A double click has added its place twice.
    const points = drawn.points.filter((point, i) => i === 0 || this.#far(point, drawn.points[i - 1]));
    if (points.length < (drawn.kind === "line" ? 2 : 3))
      return;
    this.end();
    this.#selected = this.#handlers.onAdd(drawn.kind, points);
    this.draw();
    this.#layer.querySelector(".handle")?.focus({preventScroll: true});
  }

  // --- keyboard ---

  #key(event) {
    if (this.#drawing) {
      if (event.key === "Escape") {
        event.preventDefault();
        this.end();
      } else if (event.key === "Enter") {
        event.preventDefault();
        if (!this.#drawing.points.length)
          this.#drawing.points = this.#inTheMiddle(this.#drawing.kind);
        this.#complete();
      }
      return;
    }
    const index = event.target.dataset?.index, shape = this.#shapes[Number(event.target.dataset?.shape)];
    if (index === undefined || !shape)
      return;
    const [dx, dy] = ARROWS[event.key] ?? [0, 0], step = event.shiftKey ? FINE_STEP : STEP;
    if (dx || dy) {
      event.preventDefault();
      event.stopPropagation();
      const size = Math.max(this.#extent.width, this.#extent.height) * step, at = Number(index);
      if (event.target.dataset.insert)
        shape.points.splice(at, 0, [Number(event.target.getAttribute("cx")), Number(event.target.getAttribute("cy"))]);
      shape.points[at] = this.#clip([shape.points[at][0] + dx * size, shape.points[at][1] + dy * size]);
      this.#changed(shape, at);
    } else if ((event.key === "Delete" || event.key === "Backspace") && shape.kind === "zone" &&
               shape.points.length > 3 && !event.target.dataset.insert) {
      event.preventDefault();
      shape.points.splice(Number(index), 1);
      this.#changed(shape, Math.max(0, Number(index) - 1));
    }
  }

  #changed(shape, index) {
    this.draw();
    this.#layer.querySelector(`.handle[data-index="${index}"]:not([data-insert])`)?.focus({preventScroll: true});
    this.#handlers.onChange(shape);
  }

  #inTheMiddle(kind) {
    const {x, y, width, height} = this.#extent, at = (u, v) => [x + u * width, y + v * height];
    return kind === "line" ? [at(0.3, 0.5), at(0.7, 0.5)] : [at(0.35, 0.35), at(0.65, 0.35), at(0.65, 0.65), at(0.35, 0.65)];
  }

  // --- drawing ---

  draw() {
    const unit = pixelOf(this.#svg, this.#extent), labels = new Labels(this.#extent, unit);
    const had = document.activeElement?.dataset?.index !== undefined && this.#layer.contains(document.activeElement)
      ? {...document.activeElement.dataset} : null;
    clear(this.#layer);
    this.#shapes.forEach((shape, number) => {
      const group = outlineOf(shape, unit, this.#flipped);
      group.classList.toggle("selected", shape === this.#selected);
      for (const part of group.children)
        part.dataset.shape = number;
      this.#layer.append(group);
    });
    for (const shape of this.#shapes)
      this.#layer.append(labelOf(shape, this.#text(shape), labels));
    if (this.#selected)
      this.#handles(this.#selected, this.#shapes.indexOf(this.#selected), unit);
    if (this.#drawing)
      this.#drawNew(unit);
    if (had)
      this.#layer.querySelector(`.handle[data-index="${had.index}"]${had.insert ? "[data-insert]" : ":not([data-insert])"}`)
        ?.focus({preventScroll: true});
  }

  #drawNew(unit) {
    const {kind, points, next} = this.#drawing;
    const shown = kind === "zone" && next && points.length ? [...points, next] : points;
    if (kind === "line" && points.length === 2)
      this.#layer.append(outlineOf({kind, points}, unit, this.#flipped));
    else if (shown.length)
      this.#layer.append(svg("path", {class: "draft", d: `M${shown.map((point) => point.join(" ")).join("L")}`}));
    for (const [x, y] of points)
      this.#layer.append(svg("circle", {class: "dot-mark", cx: x, cy: y, r: SMALL_PX * unit}));
  }

  #handles(shape, number, unit) {
    const {width, height, x, y} = this.#extent, kind = shape.kind === "line" ? "point" : "corner";
    const handle = (at, index, radius, label, insert) => {
      const node = svg("circle", {class: `handle${insert ? " insert" : ""}`, cx: at[0], cy: at[1], r: radius * unit,
                                  tabindex: insert ? -1 : 0, role: "button", "aria-label": label,
                                  "stroke-width": 2});
      const reach = svg("circle", {class: "reach", cx: at[0], cy: at[1], r: TOUCH_PX * unit * (insert ? 0.6 : 1)});
      for (const part of [reach, node]) {
        part.dataset.shape = number;
        part.dataset.index = index;
        if (insert)
          part.dataset.insert = "1";
      }
      this.#layer.append(reach, node);
    };
    const {points} = shape;
    if (shape.kind === "zone" && points.length < MOST_CORNERS)
      points.forEach((a, i) => {
        const b = points[(i + 1) % points.length];
        handle([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], i + 1, SMALL_PX, `${shape.item.name}: new corner after ${i + 1}`, true);
      });
    points.forEach((at, i) => handle(at, i, HANDLE_PX,
      `${shape.item.name}: ${kind} ${i + 1}, ${Math.round((at[0] - x) / width * 100)} % from the left, ` +
      `${Math.round((at[1] - y) / height * 100)} % from the top`, false));
  }
}
