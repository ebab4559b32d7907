// Camera calibration: point pairs in a frame and on the plan, tried on the server after each change.

import {ApiError, call, cameraPath} from "/api.js";
import {Labels, pixelOf, placesAround} from "/labels.js";
import {clear, drawGround, extentOf, svg} from "/plan.js";

const TRY_AFTER_MS = 250;
// Legible on any frame, in both themes.
const FITS = ["#f2b84e"], OFF = ["#b9262b", "#fff"];
const $ = (id) => document.getElementById(id);
const FIELDS = [["frame", 0, "Frame x"], ["frame", 1, "Frame y"], ["map", 0, "Map x"],
                ["map", 1, "Map y"]];

export class Calibration {
  constructor({tell, changed, ready}) {
    Object.assign(this, {tell, changed, ready, map: null, points: [], camera: "", plan: null, fit: null,
                         timer: 0, ownPlane: false, wantsStill: false});
    $("camera").addEventListener("change", () => this.choose($("camera").value));
    $("still").addEventListener("click", (event) => this.clickStill(event));
    $("still").addEventListener("load", () => {
      this.showStill(true);
      this.draw();
    });
    $("still").addEventListener("error", () => {
      this.showStill(false);
      this.wantsStill = true;
    });
    $("sheet").addEventListener("click", (event) => this.clickSheet(event));
    $("still-again").addEventListener("click", () => this.takeStill());
    $("point-add").addEventListener("click", () => this.add({frame: [0, 0], map: [0, 0]}));
    $("save").addEventListener("click", () => this.send(false));
    $("forget").addEventListener("click", () => this.forget());
    $("map-save").addEventListener("click", () => this.resize());
    $("plan-file").addEventListener("change", () => this.takePlan());
    for (const id of ["map-width", "map-height", "map-units"])
      $(id).addEventListener("input", () => {
        this.ownPlane = true;
      });
  }

  update(map, names) {
    const known = [...$("camera").options].map(({value}) => value);
    this.map = map;
    if (names.join() !== known.join()) {
      $("camera").replaceChildren(...names.map((name) => new Option(name, name)));
      this.choose(names.includes(this.camera) ? this.camera : names[0] ?? "");
    }
    if (!this.ownPlane) {
      $("map-width").value = map.width || "";
      $("map-height").value = map.height || "";
      $("map-units").value = map.units_per_m;
    }
    if (this.wantsStill)
      this.takeStill();
    $("forget").disabled = !map.cameras.some(({camera}) => camera === this.camera);
    this.drawSheet();
  }

  choose(name) {
    const stored = this.map.cameras.find(({camera}) => camera === name);
    this.camera = name;
    $("camera").value = name;
    if (!this.ready(name))
      this.showStill(false);
    this.points = (stored?.points ?? []).map(({frame, map}) => ({frame, map}));
    this.storedSize = stored?.image_size;
    this.fit = stored?.usable ? stored : null;
    this.say(stored && !stored.usable ? stored.reason : "", true);
    this.takeStill();
    this.list();
  }

  showStill(there) {
    $("still").hidden = !there;
    $("still-none").hidden = there;
  }

  // Before the camera's first frame, waits for it.
  takeStill() {
    this.wantsStill = Boolean(this.camera) && !this.ready(this.camera);
    if (this.camera && !this.wantsStill)
      $("still").src = `/api/v2/${cameraPath(this.camera, "/frame.jpg")}?width=1920&at=${Date.now()}`;
  }

  takePlan() {
    const [file] = $("plan-file").files;
    if (!file)
      return;
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      this.plan = reader.result;
      this.drawSheet();
    });
    reader.readAsDataURL(file);
  }

  size() {
    const {naturalWidth, naturalHeight} = $("still");
    return naturalWidth ? [naturalWidth, naturalHeight] : this.storedSize ?? [1920, 1080];
  }

  // A click on one side is completed by a click on the other.
  clickStill(event) {
    const at = $("still").getBoundingClientRect(), [width, height] = this.size();
    this.put("frame", [(event.clientX - at.left) / at.width * width,
                         (event.clientY - at.top) / at.height * height]);
  }

  clickSheet(event) {
    const point = new DOMPoint(event.clientX, event.clientY)
      .matrixTransform($("sheet").getScreenCTM().inverse());
    this.put("map", [point.x, point.y]);
  }

  put(side, at) {
    const place = at.map((value) => Math.round(value * 10) / 10);
    const open = this.points.find((point) => !point[side]);
    if (open)
      open[side] = place;
    else
      this.points.push({[side]: place});
    this.edited();
  }

  add(point) {
    this.points.push(point);
    this.edited();
    $("points").lastElementChild?.querySelector("input")?.focus();
  }

  edited() {
    this.fit = null;
    this.list();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(true), TRY_AFTER_MS);
  }

  say(text, bad) {
    $("verdict").textContent = text;
    $("verdict").classList.toggle("bad", Boolean(bad && text));
  }

  async send(only) {
    const points = this.points.filter(({frame, map}) => frame && map);
    $("save").disabled = true;
    if (points.length < 4) {
      this.say(`${points.length} of at least 4 point pairs.`);
      return;
    }
    try {
      const body = {points, image_size: this.size(), try: only};
      this.fit = await call("POST", `map/cameras/${encodeURIComponent(this.camera)}`, body);
      this.points = points;
      $("save").disabled = false;
      const out = this.fit.points.filter(({fits}) => !fits).length;
      this.say(`${only ? "Fit" : "Saved"}: ${this.fit.rms_px} px, ${this.fit.rms_m} m RMS error` +
        `${out ? `, ${out} outliers ignored, shown in red` : ""}.`);
      this.list();
      if (!only) {
        $("forget").disabled = false;
        this.changed(this.map = await call("GET", "map"));
      }
    } catch (error) {
      if (!(error instanceof ApiError))
        throw error;
      this.fit = null;
      this.say(error.message, true);
      this.draw();
    }
  }

  async forget() {
    try {
      this.changed(this.map = await call("DELETE", `map/cameras/${encodeURIComponent(this.camera)}`));
      this.choose(this.camera);
    } catch (error) {
      if (!(error instanceof ApiError))
        throw error;
      this.say(error.message, true);
    }
  }

  async resize() {
    try {
      const body = {width: Number($("map-width").value), height: Number($("map-height").value),
                    units_per_m: Number($("map-units").value)};
      this.changed(this.map = await call("POST", "map", body));
      this.ownPlane = false;
      this.drawSheet();
    } catch (error) {
      if (!(error instanceof ApiError))
        throw error;
      this.say(error.message, true);
    }
  }

  list() {
    const rows = this.points.map((point, index) => this.row(point, index));
    $("points").replaceChildren(...rows);
    $("points-none").hidden = rows.length > 0;
    this.draw();
  }

  row(point, index) {
    const row = document.createElement("tr"), fit = this.fit?.points?.[index];
    const cell = (content, label = "", kind = "td") => {
      const node = document.createElement(kind);
      node.dataset.label = label; // shown on narrow screens instead of column headings
      node.append(content);
      row.append(node);
      return node;
    };
    row.classList.toggle("off", fit?.fits === false);
    cell(String(index + 1), "", "th").scope = "row";
    for (const [side, axis, label] of FIELDS) {
      const input = document.createElement("input");
      input.type = "number";
      input.step = "any";
      input.value = point[side]?.[axis] ?? "";
      input.setAttribute("aria-label", `${label} of point ${index + 1}`);
      input.addEventListener("change", () => {
        point[side] ??= [0, 0];
        point[side][axis] = Number(input.value);
        this.edited();
      });
      cell(input, label);
    }
    cell(fit ? fit.error_px.toFixed(1) : "", "Error, px");
    cell(fit ? fit.error_m.toFixed(2) : "", "Error, m");
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "icon";
    remove.textContent = "✕";
    remove.setAttribute("aria-label", `Remove point ${index + 1}`);
    remove.addEventListener("click", () => {
      this.points.splice(index, 1);
      this.edited();
    });
    cell(remove);
    return row;
  }

  draw() {
    const layer = $("still-marks"), [width, height] = this.size();
    clear(layer);
    layer.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const extent = {x: 0, y: 0, width, height};
    this.marks(layer, "frame", new Labels(extent, pixelOf(layer, extent)));
    this.drawSheet();
  }

  drawSheet() {
    if (!this.map)
      return;
    const sheet = $("sheet");
    const placed = this.points.filter(({map}) => map).map(({map}) => map);
    const cameras = this.map.cameras.filter(({camera}) => camera === this.camera && !this.fit?.view);
    const shown = {...this.map, cameras};
    if (this.fit?.view)
      shown.cameras = [{camera: this.camera, view: this.fit.view}];
    clear(sheet);
    const extent = extentOf(this.map, [], placed), labels = new Labels(extent, pixelOf(sheet, extent));
    drawGround(sheet, shown, extent, {image: this.plan, labels});
    this.marks(sheet, "map", labels);
  }

  marks(layer, side, labels) {
    const radius = labels.text * 0.4;
    this.points.forEach((point, index) => {
      if (!point[side])
        return;
      const [x, y] = point[side], text = String(index + 1);
      const box = labels.place(text, placesAround(x, y, radius, labels.size(text)));
      const off = this.fit?.points?.[index]?.fits === false;
      layer.append(svg("circle", {class: `mark${off ? " off" : ""}`, cx: x, cy: y, r: radius}),
                   labels.plate(text, box, ...(off ? OFF : FITS)));
    });
  }
}
