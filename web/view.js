// One camera's frame with its boxes, on a canvas. The JPEG and the tracks of a message are decoded,
// stored and drawn together, so that boxes always match the frame.

import {drawShapes, shapesOf} from "/shapes.js";

const COLORS_MAX = 4096;
const colors = new Map();

// Linear sRGB of an OKLab colour (Ottosson 2020); null outside the gamut.
function linearOfOklab(lightness, a, b) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3;
  const rgb = [
    +4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
  ];
  return rgb.some((value) => value < 0 || value > 1) ? null : rgb;
}

// The same colour per id as on the server (src/render/draw.c).
export function colorOf(id) {
  let color = colors.get(id);
  if (color)
    return color;
  const lightness = [0.72, 0.85, 0.64][id % 3];
  const turn = 0.08 + id * 0.6180339887498949;
  const hue = (turn - Math.floor(turn)) * 2 * Math.PI;
  let linear = null;
  for (let chroma = 0.32; !linear; chroma -= 0.01)
    linear = linearOfOklab(lightness, chroma * Math.cos(hue), chroma * Math.sin(hue));
  const bytes = linear.map((value) =>
    Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055)));
  color = {css: `rgb(${bytes.join(" ")})`, ink: lightness > 0.68 ? "#0a0a0a" : "#fff"};
  if (colors.size >= COLORS_MAX)
    colors.clear();
  colors.set(id, color);
  return color;
}

// Views with new data, drawn together before the next repaint.
const dirty = new Set();
function drawAll() {
  for (const view of dirty)
    view.draw();
  dirty.clear();
}

function invalidate(view) {
  if (dirty.size === 0)
    requestAnimationFrame(drawAll);
  dirty.add(view);
}

// Class names from /api/v2/stats. With persons only, no name is drawn.
let classNames = {};
export function nameClasses(names = {}) {
  const only = Object.values(names);
  classNames = only.length === 1 && only[0]?.toLowerCase() === "person" ? {} : names;
}

// The newest message of a camera, and the views to redraw when its image is decoded.
export class Feed {
  message = null; // of the bitmap
  bitmap = null;
  setup = null; // the camera's lines and zones
  counts = null;
  views = new Set();
  #waiting = null;
  #decoding = false;
  #closed = false;

  push(message) {
    if (!message.jpeg)
      return; // boxes are never drawn on another frame
    this.#waiting = message;
    if (!this.#decoding)
      this.#decode();
  }

  async #decode() {
    this.#decoding = true;
    while (this.#waiting && !this.#closed) {
      const message = this.#waiting;
      this.#waiting = null;
      let bitmap;
      try {
        bitmap = await createImageBitmap(new Blob([message.jpeg], {type: "image/jpeg"}));
      } catch {
        continue; // invalid JPEG: keep the previous image
      }
      this.bitmap?.close();
      message.jpeg = null;
      this.bitmap = bitmap;
      this.message = message;
      this.shownAt = performance.now();
      for (const view of this.views)
        invalidate(view);
    }
    this.#decoding = false;
    if (this.#closed)
      this.#release();
  }

  #release() {
    this.bitmap?.close();
    this.bitmap = null;
  }

  close() {
    this.#closed = true;
    for (const view of this.views)
      dirty.delete(view);
    if (!this.#decoding)
      this.#release();
  }
}

export class View {
  #canvas;
  #context;
  #feed = null;
  #resized;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", {alpha: false});
    this.#resized = new ResizeObserver(() => this.#fit());
    this.#resized.observe(canvas);
  }

  show(feed) {
    this.#feed?.views.delete(this);
    this.#feed = feed;
    feed?.views.add(this);
    invalidate(this);
  }

  close() {
    this.show(null);
    dirty.delete(this);
    this.#resized.disconnect();
  }

  #fit() {
    const scale = Math.min(devicePixelRatio || 1, 2);
    const width = Math.round(this.#canvas.clientWidth * scale);
    const height = Math.round(this.#canvas.clientHeight * scale);
    if (width && height && (width !== this.#canvas.width || height !== this.#canvas.height)) {
      this.#canvas.width = width;
      this.#canvas.height = height;
      this.draw(); // at once: resizing clears the canvas
    }
  }

  draw() {
    const c = this.#context, {width, height} = this.#canvas;
    c.fillStyle = "#0b0d10";
    c.fillRect(0, 0, width, height);
    const bitmap = this.#feed?.bitmap;
    if (!bitmap)
      return;
    const fit = Math.min(width / bitmap.width, height / bitmap.height);
    const w = Math.round(bitmap.width * fit), h = Math.round(bitmap.height * fit);
    const left = Math.round((width - w) / 2), top = Math.round((height - h) / 2);
    c.drawImage(bitmap, left, top, w, h);
    const {message} = this.#feed;
    c.save();
    c.beginPath();
    c.rect(left, top, w, h);
    c.clip();
    const atX = (x) => left + x / message.width * w, atY = (y) => top + y / message.height * h;
    this.#boxes(message, atX, atY);
    this.#shapes(message, atX, atY);
    c.restore();
  }

  // A line's width and the size of text, in pixels of the canvas.
  #sizes() {
    const scale = this.#canvas.width / Math.max(1, this.#canvas.clientWidth);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    return {line: Math.max(1.5, this.#canvas.height / 220), text: Math.round(0.8 * rem * scale)};
  }

  #shapes(message, atX, atY) {
    const {setup, counts} = this.#feed;
    if (setup?.lines.length || setup?.zones.length)
      drawShapes(this.#context, shapesOf(setup, message),
                 {atX, atY, counts, widthPx: this.#canvas.width, ...this.#sizes()});
  }

  #boxes(message, atX, atY) {
    const c = this.#context, {line, text} = this.#sizes();
    c.setLineDash(message.inferred ? [] : [3 * line, 2 * line]);
    c.lineJoin = "round";
    const boxes = message.tracks.map(({id, box, class: number}) => {
      const x = atX(box[0]), y = atY(box[1]);
      const name = classNames[number];
      return {id, text: name ? `${id} ${name}` : String(id), x, y, w: atX(box[2]) - x, h: atY(box[3]) - y};
    });
    for (const pass of ["rim", "line"])
      for (const {id, x, y, w, h} of boxes) {
        c.strokeStyle = pass === "rim" ? "rgb(0 0 0 / 55%)" : colorOf(id).css;
        c.lineWidth = pass === "rim" ? line * 1.9 : line;
        c.strokeRect(x, y, w, h);
      }
    // Labels after all boxes, so that no line crosses them.
    c.setLineDash([]);
    c.font = `600 ${text}px system-ui, sans-serif`;
    c.textBaseline = "middle";
    for (const {id, text: label, x, y} of boxes) {
      const pad = text * 0.35;
      const w = c.measureText(label).width + 2 * pad, h = text * 1.35;
      const labelX = Math.max(0, Math.min(x - line / 2, this.#canvas.width - w));
      const labelY = y - h >= 0 ? y - h : y;
      const color = colorOf(id);
      c.fillStyle = color.css;
      c.fillRect(labelX, labelY, w, h);
      c.fillStyle = color.ink;
      c.fillText(label, labelX + pad, labelY + h / 2 + text * 0.05);
    }
  }
}
