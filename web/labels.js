// Labels of a drawing, placed without overlap, and texts about people.

import {svg} from "/plan.js";

const RING = [[1, -1], [1, 1], [-1, -1], [-1, 1], [0, -1], [0, 1], [1, 0], [-1, 0]];
const RINGS = 4, DARK = "#0a0a0a";

// Below one second the text has no seconds.
export const awayText = (seconds) =>
  seconds < 1 ? "just lost" : `not visible for ${Math.floor(seconds)} s`;

// The size of one page pixel in units of the drawing, for a legible text size.
export function pixelOf(drawing, extent) {
  const {clientWidth: width, clientHeight: height} = drawing;
  return width && height ? Math.max(extent.width / width, extent.height / height) : extent.width / 800;
}

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

const overlap = (a, b) => Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) *
  Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));

// Label positions around a dot, nearest first.
export function placesAround(x, y, radius, {width, height}) {
  const places = [];
  for (let ring = 0; ring < RINGS; ring++)
    for (const [dx, dy] of RING) {
      const away = radius + ring * height;
      places.push([x + dx * away + (dx - 1) / 2 * width,
                   y + dy * away * (dx ? 0.5 : 1) + (dy - 1) / 2 * height]);
    }
  return places;
}

// Label positions around a box: at the upper edge, above, at the lower edge, below, and at the sides.
export function placesOfBox([x1, y1, x2, y2], {width, height}) {
  const places = [];
  for (let step = 0; step < RINGS; step++) {
    places.push([x1, y1 - (step + 1) * height], [x2 - width, y1 - (step + 1) * height]);
    places.push([x1, y2 + step * height], [x2, y1 + step * height], [x1 - width, y1 + step * height]);
  }
  return places;
}

export class Labels {
  #taken = [];

  constructor(extent, pixel) {
    this.extent = extent;
    this.text = 0.75 * rem() * pixel;
  }

  size(text) {
    return {width: (0.68 * text.length + 0.5) * this.text, height: 1.3 * this.text};
  }

  occupy(box) {
    this.#taken.push(box);
  }

  // The first free position, else the one with the least overlap; null instead for optional labels.
  place(text, places, optional = false) {
    const size = this.size(text), {x, y, width, height} = this.extent;
    let best = null, least = Infinity;
    for (const [left, top] of places) {
      const box = {x: Math.max(x, Math.min(left, x + width - size.width)),
                   y: Math.max(y, Math.min(top, y + height - size.height)), ...size};
      const covered = this.#taken.reduce((sum, other) => sum + overlap(box, other), 0);
      if (covered < least)
        [best, least] = [box, covered];
      if (least === 0)
        break;
    }
    if (!best || (optional && least > 0))
      return null;
    this.#taken.push(best);
    return best;
  }

  // Dark text on a plate of the person's colour (all are bright), legible on any frame.
  plate(text, box, colour, ink = DARK) {
    const group = svg("g", {class: "plate"});
    const name = svg("text", {x: box.x + box.width / 2, y: box.y + box.height / 2, fill: ink,
                              "font-size": this.text, "text-anchor": "middle",
                              "dominant-baseline": "central"});
    name.textContent = text;
    group.append(svg("rect", {...box, rx: this.text / 4, fill: colour}), name);
    return group;
  }
}
