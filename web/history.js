// The page History: counts over time with a comparison, dwell, a heatmap and events, from /api/v2/history.

import {ApiError, call, cameraPath} from "/api.js";
import {svg} from "/plan.js";

const DAY_MS = 86400000, WIDTH = 600, HEIGHT = 160, BARS_MAX = 400;
const BUCKET_MS = {minute: 60000, hour: 3600000, day: DAY_MS};
const KINDS = ["line.crossed", "zone.entered", "zone.left", "zone.occupancy", "zone.crowded", "zone.loitering",
               "camera.state", "camera.added", "camera.removed", "person.created", "person.merged", "person.returned",
               "person.reassigned", "person.split", "person.reverted", "person.expired"];
const $ = (id) => document.getElementById(id);
const form = $("range").elements;
const number = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
let counts = null, events = [], next = null;
const asked = {counts: 0, dwell: 0, events: 0}; // requests so far

const theme = (() => {
  try {
    return localStorage.getItem("spoton-theme");
  } catch {
    return null; // storage may be disabled
  }
})();
if (theme === "light" || theme === "dark")
  document.documentElement.dataset.theme = theme;

// Days are those of this browser's time zone; the API has UTC.
const midnight = (text) => new Date(`${text}T00:00:00`);
const dayText = (date) =>
  `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;

function range(daysBack = 0) {
  const from = midnight(form.from.value), to = midnight(form.to.value);
  to.setDate(to.getDate() + 1);
  for (const date of [from, to])
    date.setDate(date.getDate() - daysBack);
  return {from, to};
}

function query(more = {}, {from, to} = range()) {
  return new URLSearchParams({from: from.toISOString(), to: to.toISOString(), ...more});
}

function tell(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text ?? "";
}

const node = (tag, text = "", className = "") =>
  Object.assign(document.createElement(tag), {textContent: text, className});

// --- counts -----------------------------------------------------------------------------------

// {key: value} by the start of the bucket, shifted by `shift` days.
function byTime(buckets, value, shift) {
  const found = new Map();
  for (const bucket of buckets) {
    const time = new Date(bucket.time);
    time.setDate(time.getDate() + shift);
    found.set(time.getTime(), value(bucket));
  }
  return found;
}

// Each name with its series: [{title, series: [{label, total, values, before}]}].
function chartsOf(now, before, shift) {
  const charts = new Map();
  const chart = (title) => {
    if (!charts.has(title))
      charts.set(title, {title, series: []});
    return charts.get(title);
  };
  for (const {line, direction, total, buckets} of now.lines) {
    const old = before?.lines.find((each) => each.line === line && each.direction === direction);
    chart(line).series.push({label: direction, total, values: byTime(buckets, ({count}) => count, 0),
                             before: old ? byTime(old.buckets, ({count}) => count, shift) : null,
                             beforeTotal: old?.total ?? 0});
  }
  for (const {zone, visits, buckets} of now.zones) {
    const old = before?.zones.find((each) => each.zone === zone);
    chart(`${zone}, visits`).series.push({label: "visits", total: visits,
      values: byTime(buckets, (bucket) => bucket.visits, 0),
      before: old ? byTime(old.buckets, (bucket) => bucket.visits, shift) : null, beforeTotal: old?.visits ?? 0});
    chart(`${zone}, most people`).series.push({label: "people", total: Math.max(0, ...buckets.map((b) => b.people_max)),
      values: byTime(buckets, (bucket) => bucket.people_max, 0),
      before: old ? byTime(old.buckets, (bucket) => bucket.people_max, shift) : null, most: true});
  }
  return [...charts.values()];
}

// Bars for each series, and the comparison as a line.
function draw({title, series}, {from, to}, step) {
  const box = node("div"), head = node("h3", title);
  const periods = Math.max(1, Math.round((to - from) / step)), wide = WIDTH / periods;
  const all = series.flatMap(({values, before}) => [...values.values(), ...(before?.values() ?? [])]);
  const top = Math.max(1, ...all), y = (value) => HEIGHT - value / top * HEIGHT * 0.95;
  const plot = svg("svg", {class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"});
  const at = (time) => (time - from) / step * wide;
  head.append(node("span", series.map(({label, total, beforeTotal, before, most}) =>
    `${number.format(total)} ${most ? "" : label}${before && !most ? ` (before: ${number.format(beforeTotal)})` : ""}`.trim()).join(" · ")));
  series.forEach(({values, before}, i) => {
    const width = Math.max(wide * 0.85 / series.length, 0.5);
    for (const [time, value] of values)
      plot.append(svg("rect", {class: `bar${i ? " second" : ""}`, x: at(time) + wide * 0.075 + i * width, y: y(value),
                               width, height: HEIGHT - y(value)}));
    if (before) {
      const points = [];
      for (let k = 0; k < periods && periods <= BARS_MAX; k++)
        points.push(`${(k + 0.5) * wide},${y(before.get(from.getTime() + k * step) ?? 0)}`);
      plot.append(svg("polyline", {class: "before", points: points.join(" ")}));
    }
  });
  plot.setAttribute("aria-label", `${title}: ${head.textContent}, at most ${number.format(top)} per bar`);
  const scale = node("p", "", "scale");
  const text = (date) => date.toLocaleString([], {day: "numeric", month: "short", hour: "2-digit", minute: "2-digit"});
  scale.append(node("span", text(from)), node("span", `highest: ${number.format(top)}`), node("span", text(to)));
  const legend = node("p", "", "legend");
  const entry = (label, name) => {
    const part = node("span", "", name);
    part.append(node("i"), label);
    legend.append(part);
  };
  series.forEach(({label}, i) => entry(label, i ? "second" : ""));
  if (series.some(({before}) => before))
    entry(form.compare.value === "7" ? "the week before" : "the day before", "dashed");
  box.append(head, plot, scale, legend);
  return box;
}

// Replies may cross: whether the request that is made now is still the newest of its part when the reply is here.
function newest(part) {
  const mine = ++asked[part];
  return () => mine === asked[part];
}

async function showCounts() {
  const isNewest = newest("counts");
  const shift = Number(form.compare.value), bucket = form.bucket.value;
  const [now, before] = await Promise.all([
    call("GET", `history/counts?${query({bucket})}`),
    shift ? call("GET", `history/counts?${query({bucket}, range(shift))}`) : null]);
  if (!isNewest())
    return;
  counts = now;
  const charts = chartsOf(now, before, shift);
  $("charts").replaceChildren(...charts.map((chart) => draw(chart, range(), BUCKET_MS[bucket])));
  $("counts-none").hidden = charts.length > 0;
  fill($("zone"), now.zones.map(({zone}) => zone));
}

function fill(select, names) {
  const had = select.value;
  if (names.join("\n") === [...select.options].map(({value}) => value).join("\n"))
    return;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  select.value = names.includes(had) ? had : names[0] ?? "";
}

// --- dwell ------------------------------------------------------------------------------------

async function showDwell() {
  const zone = $("zone").value, plot = $("dwell"), isNewest = newest("dwell");
  plot.replaceChildren();
  if (!zone) {
    $("dwell-summary").textContent = "No visits in this time.";
    return;
  }
  const {count, dwell_s: dwell, histogram} = await call("GET", `history/visits?${query({zone, limit: 1})}`);
  if (!isNewest())
    return;
  const top = Math.max(1, ...histogram.map(({visits}) => visits)), wide = WIDTH / Math.max(1, histogram.length);
  plot.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT + 24}`);
  histogram.forEach(({from_s: from, to_s: to, visits}, i) => {
    const height = visits / top * HEIGHT * 0.95;
    const bar = svg("rect", {class: "bar", x: (i + 0.075) * wide, y: HEIGHT - height, width: wide * 0.85, height});
    const title = svg("title");
    title.textContent = `${from} to ${to ?? "…"} s: ${visits} visits`;
    bar.append(title);
    plot.append(bar);
    if (i % Math.ceil(histogram.length / 10) === 0) {
      const label = svg("text", {x: i * wide, y: HEIGHT + 18, "font-size": 14, fill: "currentColor"});
      label.textContent = `${from} s`;
      plot.append(label);
    }
  });
  $("dwell-summary").textContent = count
    ? `${number.format(count)} visits; half of them at most ${dwell.p50} s, 90 % at most ${dwell.p90} s, longest ${dwell.max} s`
    : "No visits in this time.";
}

// --- heatmap ----------------------------------------------------------------------------------

function showHeat() {
  const camera = $("camera").value;
  for (const [id, address] of [["still", `/api/v2/${cameraPath(camera, "/frame.jpg")}?width=960`],
                               ["heat", `/api/v2/history/heatmap.png?${query({camera, columns: 64})}`]]) {
    const image = $(id);
    image.hidden = true;
    if (camera)
      image.src = address;
  }
  $("heat-note").textContent = camera ? "Red: where people's feet were for longest." : "No camera is stored.";
}
for (const id of ["still", "heat"])
  $(id).addEventListener("load", () => {
    $(id).hidden = false;
  });

// --- events -----------------------------------------------------------------------------------

function detailOf({payload}) {
  const parts = [];
  if (payload.direction)
    parts.push(payload.direction);
  if (payload.dwell_s !== undefined)
    parts.push(`${payload.dwell_s} s`);
  if (payload.people !== undefined)
    parts.push(`${payload.people} ${payload.people === 1 ? "person" : "people"}${payload.low === undefined ? "" : ` (${payload.low}–${payload.high})`}`);
  if (payload.state)
    parts.push(payload.state);
  if (payload.reason)
    parts.push(payload.reason);
  if (payload.other)
    parts.push(`before ${payload.other}`);
  if (payload.confidence !== undefined && payload.confidence < 0.9)
    parts.push(`confidence ${payload.confidence}`);
  return parts.join(", ");
}

const columns = (event) => [
  new Date(event.time).toLocaleString(), event.kind, event.camera ?? "", event.payload.line ?? event.payload.zone ?? "",
  event.payload.person ?? "", detailOf(event)];
const LABELS = ["Time", "Event", "Camera", "Line or zone", "Person", "Details"];

function snapshotOf({kind, time, snapshot}) {
  const cell = node("td");
  cell.dataset.label = "Snapshot";
  if (!snapshot)
    return cell;
  const link = Object.assign(document.createElement("a"), {href: `/api/v2/history/snapshots/${snapshot}`, target: "_blank"});
  link.append(Object.assign(document.createElement("img"), {
    className: "snapshot", loading: "lazy", src: link.href, alt: `${kind}, ${new Date(time).toLocaleString()}`}));
  cell.append(link);
  return cell;
}

async function showEvents(more = false) {
  const kind = $("kind").value, isNewest = newest("events");
  const page = await call("GET", `history/events?${query({
    limit: 100, ...(kind ? {kind} : {}), ...(more && next ? {before: next} : {})})}`);
  if (!isNewest())
    return;
  events = more ? [...events, ...page.events] : page.events;
  next = page.next;
  $("events").replaceChildren(...events.map((event) => {
    const row = document.createElement("tr");
    columns(event).forEach((text, i) => {
      const cell = node("td", text);
      cell.dataset.label = LABELS[i];
      row.append(cell);
    });
    row.append(snapshotOf(event));
    return row;
  }));
  $("events-none").hidden = events.length > 0;
  $("more").hidden = !next;
}

// --- CSV --------------------------------------------------------------------------------------

// A leading =, +, - or @ would be a formula in a spreadsheet.
const field = (value) => `"${String(value).replace(/^(?=[=+\-@])/, "'").replaceAll('"', '""')}"`;

function download(name, rows) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows.map((row) => row.map(field).join(",")).join("\r\n") + "\r\n"],
                                           {type: "text/csv"}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

$("counts-csv").addEventListener("click", () => {
  const rows = [["time", "line or zone", "direction", "count", "people_max"]];
  for (const {line, direction, buckets} of counts?.lines ?? [])
    for (const {time, count} of buckets)
      rows.push([time, line, direction, count, ""]);
  for (const {zone, buckets} of counts?.zones ?? [])
    for (const {time, visits, people_max: most} of buckets)
      rows.push([time, zone, "visits", visits, most]);
  download("counts.csv", rows);
});
$("events-csv").addEventListener("click", () =>
  download("events.csv", [["time", "kind", "camera", "line or zone", "person", "details"],
    ...events.map((event) => [event.time, ...columns(event).slice(1)])]));

// --- all of it --------------------------------------------------------------------------------

async function attempt(work) {
  try {
    await work();
    tell(null);
    $("link").dataset.link = "live";
    $("link").textContent = "Connected";
  } catch (error) {
    if (!(error instanceof ApiError))
      throw error;
    $("link").dataset.link = error.unreachable ? "lost" : "live";
    $("link").textContent = error.login ? "Sign in on the page Cameras" : error.unreachable ? "Connection lost" : "Connected";
    tell(error.message);
  }
}

const showAll = () => attempt(async () => {
  if (!form.from.value || !form.to.value || midnight(form.from.value) > midnight(form.to.value)) {
    tell("Choose a first day that is not after the last one.");
    return;
  }
  await showCounts();
  showHeat();
  await Promise.all([showDwell(), showEvents()]);
});

function chooseDays(days) {
  const to = new Date(), from = new Date();
  from.setDate(from.getDate() - days + 1);
  form.from.value = dayText(from);
  form.to.value = dayText(to);
  form.bucket.value = days > 7 ? "day" : "hour";
}

$("range").addEventListener("change", showAll);
$("range").addEventListener("submit", (event) => event.preventDefault());
for (const button of document.querySelectorAll("[data-days]"))
  button.addEventListener("click", () => {
    chooseDays(Number(button.dataset.days));
    showAll();
  });
$("zone").addEventListener("change", () => attempt(showDwell));
$("camera").addEventListener("change", showHeat);
$("kind").append(...KINDS.map((kind) => new Option(kind, kind)));
$("kind").addEventListener("change", () => attempt(showEvents));
$("more").addEventListener("click", () => attempt(() => showEvents(true)));

chooseDays(1);
attempt(async () => {
  const {cameras} = await call("GET", "history");
  fill($("camera"), cameras.map(({name}) => name));
  $("page").hidden = false;
  await showAll();
});
