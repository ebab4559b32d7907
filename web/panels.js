// The side panels: stage times with their targets, the ledger, and server facts.

const HISTORY = 120; // samples, one per second
const SVG_HEIGHT = 40;

// Targets in ms for a batch of 16. They scale with the batch size and with the number of parallel
// inference requests, so that the verdict is comparable in all cases.
const TARGET_BATCH = 16;
const STAGES = [
  {key: "detect_ms", name: "BatchDet", target: 200, what: "one inference call"},
  {key: "track_ms", name: "Track", target: 50, what: "tracking"},
  {key: "send_ms", name: "WsSend", target: 100, what: "sending"},
  {key: "encode_ms", name: "Enc", target: 30, what: "JPEG encoding"},
];

export const number = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function decimal(value, digits = 1) {
  return isNumber(value) ? value.toFixed(digits) : "–";
}

export function milliseconds(value) {
  if (!isNumber(value))
    return "–";
  return `${Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

export function setText(node, text) {
  if (node.textContent !== text)
    node.textContent = text; // unchanged text would still trigger layout and screen readers
}

export function setIcon(node, icon) {
  const use = node.querySelector("use");
  if (use.getAttribute("href") !== `#i-${icon}`)
    use.setAttribute("href", `#i-${icon}`);
}

export class StagePlots {
  #rows;
  #batch;

  constructor(list, batch) {
    this.#batch = batch;
    const template = document.getElementById("stage");
    this.#rows = STAGES.map((stage) => {
      const node = template.content.firstElementChild.cloneNode(true);
      node.dataset.stage = stage.name;
      node.querySelector("h3").textContent = stage.name;
      node.querySelector("h3").title = stage.what;
      list.append(node);
      return {stage, node, history: [], target: stage.target};
    });
  }

  update(batch, streams = 1) {
    const size = batch?.size;
    setText(this.#batch, isNumber(size) && size > 0
      ? `batch of ${decimal(size, Number.isInteger(size) ? 0 : 1)}` : "");
    const share = isNumber(size) && size > 0 ? size / TARGET_BATCH : 1;
    for (const row of this.#rows) {
      const beside = row.stage.key === "detect_ms" ? streams : 1;
      this.#aim(row, row.stage.target * share * beside, share, beside);
      const value = batch?.[row.stage.key];
      row.history.push(isNumber(value) ? value : null);
      if (row.history.length > HISTORY)
        row.history.shift();
      this.#draw(row, row.history.at(-1));
    }
  }

  #aim(row, target, share, beside) {
    const notes = [share === 1 ? "" : `${milliseconds(row.stage.target)} at 16`, beside > 1 ? `${beside} streams` : ""];
    const note = notes.filter(Boolean).join(", ");
    row.target = target;
    setText(row.node.querySelector(".goal"), `– – target ${milliseconds(target)}${note && ` (${note})`}`);
  }

  #draw({stage, node, history, target}, now) {
    const verdict = now === null ? ["none", "no data yet", "none"]
      : now <= target ? ["good", "within target", "good"] : ["stalled", "over target", "bad"];
    setText(node.querySelector(".value"), milliseconds(now));
    setIcon(node.querySelector(".verdict"), verdict[0]);
    setText(node.querySelector(".verdict span"), verdict[1]);
    node.dataset.verdict = verdict[2];

    const top = Math.max(target * 1.25, ...history.map((value) => value ?? 0)) * 1.04;
    const y = (value) => (SVG_HEIGHT - value / top * SVG_HEIGHT).toFixed(2);
    let line = "", area = "", from = null;
    history.forEach((value, i) => {
      const x = HISTORY - history.length + i + 1;
      if (value !== null) {
        line += `${from === null ? "M" : "L"}${x} ${y(value)}`;
        area += from === null ? `M${x} ${SVG_HEIGHT}L${x} ${y(value)}` : `L${x} ${y(value)}`;
        from ??= x;
      }
      if (from !== null && (value === null || i === history.length - 1)) {
        area += `L${value === null ? x - 1 : x} ${SVG_HEIGHT}Z`;
        from = null;
      }
    });
    node.querySelector(".line").setAttribute("d", line);
    node.querySelector(".area").setAttribute("d", area);
    node.querySelector(".target").setAttribute("d", `M0 ${y(target)}H${HISTORY}`);
    node.querySelector(".plot").setAttribute("aria-label",
      `${stage.name}, ${stage.what}: ${milliseconds(now)}, ${verdict[1]}, target ${milliseconds(target)}`);
  }
}

const COLUMNS = ["received", "inferred", "skipped", "unneeded", "dropped", "failed", "in_flight"];
const LABELS = ["Received", "Inferred", "Skipped", "Unneeded", "Dropped", "Failed", "In flight"];

export class Ledger {
  #body;
  #rows = new Map();

  constructor(body) {
    this.#body = body;
  }

  update(cameras) {
    const total = Object.fromEntries(COLUMNS.map((key) => [key, 0]));
    const seen = new Set();
    for (const {name, ledger} of cameras) {
      for (const key of COLUMNS)
        total[key] += ledger[key];
      this.#row(`camera ${name}`, name, ledger);
      seen.add(`camera ${name}`);
    }
    if (cameras.length > 1) {
      this.#row("total", "Total", total).classList.add("total");
      seen.add("total");
      this.#body.append(this.#rows.get("total"));
    }
    for (const [key, node] of this.#rows)
      if (!seen.has(key)) {
        node.remove();
        this.#rows.delete(key);
      }
  }

  #row(key, title, ledger) {
    let node = this.#rows.get(key);
    if (!node) {
      node = document.createElement("tr");
      node.setAttribute("role", "row");
      const head = document.createElement("th");
      head.setAttribute("role", "rowheader");
      head.scope = "row";
      head.textContent = title;
      node.append(head);
      for (const label of [...LABELS, "Balance"]) {
        const cell = document.createElement("td");
        cell.setAttribute("role", "cell");
        cell.dataset.label = label;
        node.append(cell);
      }
      this.#rows.set(key, node);
      this.#body.append(node);
    }
    const cells = node.querySelectorAll("td");
    COLUMNS.forEach((column, i) => setText(cells[i], number.format(ledger[column])));
    const off = ledger.received - COLUMNS.slice(1).reduce((sum, column) => sum + ledger[column], 0);
    const balance = off === 0 ? "✓ balanced" : `▲ off by ${number.format(off)}`;
    setText(cells[COLUMNS.length], balance);
    node.classList.toggle("unbalanced", off !== 0);
    return node;
  }
}

function duration(seconds) {
  const s = Math.floor(seconds), days = Math.floor(s / 86400);
  const two = (value) => String(value).padStart(2, "0");
  const clock = `${Math.floor(s / 3600) % 24}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return days ? `${days} d ${clock}` : clock;
}

// Fills a <dl> with [name, value] pairs; null values are omitted.
export function setFacts(list, facts) {
  const shown = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  while (list.children.length > shown.length)
    list.lastElementChild.remove();
  shown.forEach(([name, value], i) => {
    let row = list.children[i];
    if (!row) {
      row = document.createElement("div");
      row.append(document.createElement("dt"), document.createElement("dd"));
      list.append(row);
    }
    setText(row.firstElementChild, name);
    setText(row.lastElementChild, String(value));
  });
}

/* With one device the engine's line is enough; with several: cameras per device, and failed ones. */
function deviceFacts(devices = []) {
  if (devices.length < 2) return null;
  return devices.map((each) => `${each.device}: ${each.lost ? "failed" : `${each.cameras} cameras`}`).join(", ");
}

/* The reported classes; unnamed ones by number. */
function classFacts(classes = {}) {
  const names = Object.entries(classes).map(([index, name]) => name ?? index);
  return names.length > 6 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ") || null;
}

export function systemFacts(stats) {
  const {engine = {}, viewers = {}, stages = {}} = stats;
  const input = engine.inputs?.[0];
  const total = stages.total;
  return [
    ["Engine", [engine.name, engine.device, engine.precision].filter(Boolean).join(" · ")],
    ["Devices", deviceFacts(engine.devices)],
    ["Model", engine.model],
    ["Classes", classFacts(engine.classes)],
    ["Input", input ? `${input.width} × ${input.height}, batch ${input.batch}` : null],
    ["Latency", total?.count ? `${milliseconds(total.p50_ms)}, p95 ${milliseconds(total.p95_ms)}` : null],
    ["Memory", isNumber(stats.memory_bytes) ? `${number.format(stats.memory_bytes / 1e6)} MB` : null],
    ["Viewers", isNumber(viewers.ws) ? `${viewers.ws} WebSocket, ${viewers.mjpeg ?? 0} MJPEG` : null],
    ["Uptime", isNumber(stats.uptime_s) ? duration(stats.uptime_s) : null],
  ];
}
