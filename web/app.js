// The dashboard: polls cameras and statistics once a second, shows the frames of the stream, and sends
// the user's commands. Nothing is requested or drawn while it is not visible.

import {ApiError, backOff, call, cameraPath, current} from "/api.js";
import {Card, Enlarged, STATE_TEXT} from "/cards.js";
import {addDialog, loginDialog, removeDialog} from "/dialogs.js";
import {Ledger, StagePlots, decimal, number, setFacts, setIcon, setText, systemFacts} from "/panels.js";
import {Counts} from "/shapes.js";
import {Stream} from "/stream.js";
import {nameClasses} from "/view.js";

const POLL_MS = 1000;
const STREAM_WIDTHS = [320, 480, 640]; // few, because the server encodes each width separately

const $ = (id) => document.getElementById(id);
const cards = new Map(); // by the camera's name
const counts = new Counts();
const ledger = new Ledger($("ledger"));
const plots = new StagePlots($("stages"), $("stages-batch"));
let mjpeg = false;
let signedOut = false;

// --- theme ------------------------------------------------------------------------------------

function setTheme(theme) {
  if (theme === "light" || theme === "dark")
    document.documentElement.dataset.theme = theme;
  else
    delete document.documentElement.dataset.theme;
}

function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage may be disabled; the choice is then not saved
  }
}

$("theme").value = remembered("spoton-theme") ?? "auto";
setTheme($("theme").value);
$("theme").addEventListener("change", () => {
  setTheme($("theme").value);
  try {
    localStorage.setItem("spoton-theme", $("theme").value);
  } catch {
    // see remembered()
  }
});

// --- the stream -------------------------------------------------------------------------------

const stream = new Stream({
  onMessage: (message) => cards.get(message.camera)?.feed.push(message),
  onState: (state) => {
    if (state === "lost")
      poll.now(); // finds out whether the server is down
  },
  onFallback: (wanted) => {
    if (wanted === mjpeg || (wanted && poll.lost))
      return;
    mjpeg = wanted;
    setText($("fallback"), "WebSocket connections fail here; showing MJPEG with boxes drawn by the server.");
    $("fallback").hidden = !wanted;
    choose();
  },
  onUnreadable: (text) => {
    setText($("fallback"), `The server sends frames that this page cannot read (${text}); reload the page.`);
    $("fallback").hidden = false;
  },
});

const visible = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = [...cards.values()].find(({node}) => node === entry.target);
    if (card)
      card.visible = entry.isIntersecting;
  }
  choose();
}, {rootMargin: "100px"});

// Subscribes to what is visible: the enlarged camera only, or the cards within the window.
function choose() {
  const shown = enlarged.card ? [enlarged.card]
    : document.hidden ? [] : [...cards.values()].filter((card) => card.visible);
  for (const card of cards.values())
    card.setMjpeg(mjpeg && shown.includes(card) && !enlarged.card && !document.hidden);
  enlarged.setMjpeg(mjpeg);
  const widest = Math.max(0, ...shown.map((card) => card.widthPx));
  const width = enlarged.card ? 0 : STREAM_WIDTHS.find((step) => step >= widest) ?? 0;
  stream.choose(document.hidden ? [] : shown.map((card) => card.name), width);
}

// --- cards ------------------------------------------------------------------------------------

const enlarged = new Enlarged($("big"), {
  onChange: choose,
  neighbour: (name, step) => {
    const names = [...cards.keys()];
    return cards.get(names[(names.indexOf(name) + step + names.length) % names.length]);
  },
});

async function act(card, action) {
  try {
    card.update(await call("POST", cameraPath(card.name, `/${action}`)));
    card.setError(null);
  } catch (error) {
    failed(error, (text) => card.setError(text));
  }
}

function addCard(camera) {
  const card = new Card(camera.name, {
    onEnlarge: () => enlarged.open(card),
    onPause: (action) => act(card, action),
    onRemove: () => remove.open(camera.name),
  });
  cards.set(camera.name, card);
  $("grid").append(card.node);
  visible.observe(card.node);
  return card;
}

function removeCard(card) {
  const hadFocus = card.node.contains(document.activeElement);
  if (enlarged.card === card)
    enlarged.close();
  visible.unobserve(card.node);
  cards.delete(card.name);
  card.close();
  if (hadFocus)
    $("cameras").focus();
}

// The number of columns with the largest frames that still fit the window, if possible.
function layOut() {
  const grid = $("grid"), gap = 16, rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const width = grid.clientWidth, height = Math.max(innerHeight - grid.getBoundingClientRect().top - scrollY - gap, 200);
  const most = Math.max(1, Math.floor((width + gap) / (17 * rem)));
  let columns = 1;
  for (; columns < Math.min(most, cards.size); columns++) {
    const cardWidth = (width - gap * (columns - 1)) / columns, rows = Math.ceil(cards.size / columns);
    if (rows * (cardWidth * 9 / 16 + 6.2 * rem + gap) <= height * 1.08) // a little scrolling is acceptable
      break;
  }
  grid.style.setProperty("--columns", columns);
}
new ResizeObserver(layOut).observe($("grid"));
addEventListener("resize", layOut);

function showCameras(cameras) {
  const before = cards.size;
  const names = new Set(cameras.map(({name}) => name));
  for (const card of [...cards.values()])
    if (!names.has(card.name))
      removeCard(card);
  const news = [];
  for (const camera of cameras) {
    const card = cards.get(camera.name) ?? addCard(camera);
    const was = card.state;
    card.update(camera);
    if (was && was !== camera.state)
      news.push(`Camera ${camera.name}: ${STATE_TEXT[camera.state] ?? camera.state}.`);
  }
  if (news.length)
    setText($("announce"), news.join(" "));
  $("empty").hidden = cameras.length > 0;
  if (cards.size !== before) {
    layOut();
    choose();
  }
  enlarged.update();
  ledger.update(cameras);
  setText($("total-live"), `${cameras.filter(({state}) => state === "live").length} / ${cameras.length}`);
  setText($("total-tracks"), number.format(cameras.reduce((sum, {tracks}) => sum + tracks, 0)));
}

function showStats(stats) {
  setText($("total-frames"), decimal(stats.frames_per_s));
  setText($("total-inferred"), decimal(stats.inferred_per_s));
  plots.update(stats.batch, Math.max(1, ...stats.engine.inputs.map(({streams}) => streams ?? 1)));
  nameClasses(stats.engine.classes);
  setFacts($("system"), systemFacts(stats));
}

// --- the link to the server -------------------------------------------------------------------

function setLink(state, text) {
  $("link").dataset.link = state;
  setIcon($("link"), state === "live" ? "live" : state === "lost" ? "offline" : "connecting");
  setText($("link").querySelector("span"), text);
}

const poll = {
  lost: false,
  attempt: 0,
  timer: 0,
  clock: 0,
  running: false,

  now() {
    clearTimeout(this.timer);
    if (!this.running && !document.hidden && !signedOut)
      this.run();
  },

  async run() {
    this.running = true;
    let wait = POLL_MS;
    try {
      const [list, stats] = await current(() => Promise.all([
        call("GET", "cameras"), call("GET", "stats"), counts.update()]));
      this.found();
      showCameras(list.cameras);
      for (const card of cards.values())
        card.showCounts(counts);
      showStats(stats);
      stream.start();
    } catch (error) {
      if (!(error instanceof ApiError))
        throw error;
      if (error.login) {
        askToken();
      } else {
        wait = backOff(this.attempt++);
        this.lose(error, wait);
      }
    } finally {
      this.running = false;
      clearTimeout(this.timer);
      if (!document.hidden && !signedOut)
        this.timer = setTimeout(() => this.now(), wait);
    }
  },

  found() {
    clearInterval(this.clock);
    this.lost = false;
    this.attempt = 0;
    $("lost").hidden = true;
    document.body.classList.remove("is-lost");
    setLink("live", "Connected");
  },

  lose(error, wait) {
    this.lost = true;
    document.body.classList.add("is-lost");
    setLink("lost", "Connection lost");
    const until = Date.now() + wait;
    const show = () => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      setText($("lost-text"), `${error.message} The page shows old data. Retrying ${seconds ? `in ${seconds} s` : "now"}.`);
    };
    show();
    clearInterval(this.clock);
    this.clock = setInterval(show, 500);
    $("lost").hidden = false;
  },
};

$("retry").addEventListener("click", () => poll.now());

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(poll.timer);
    stream.stop();
  } else {
    poll.now();
  }
  choose();
});

// --- dialogs ----------------------------------------------------------------------------------

// Shows an error next to the control that caused it; a missing login opens the login dialog instead.
function failed(error, show) {
  if (!(error instanceof ApiError))
    throw error;
  if (error.login)
    askToken();
  else
    show(error.message);
}

const login = loginDialog($("login"), async () => {
  signedOut = false;
  $("sign-out").hidden = false;
  poll.now();
});

function askToken() {
  signedOut = true;
  stream.stop();
  clearTimeout(poll.timer);
  setLink("connecting", "Sign in to continue");
  login.open();
}

$("sign-out").addEventListener("click", async () => {
  try {
    await call("POST", "logout");
  } catch (error) {
    if (!(error instanceof ApiError))
      throw error;
  }
  $("sign-out").hidden = true;
  for (const card of [...cards.values()])
    removeCard(card);
  askToken();
});

const remove = removeDialog($("removing"), (name) => {
  const card = cards.get(name);
  if (card)
    removeCard(card);
  layOut();
  $("cameras").focus();
  poll.now();
}, failed);
const add = addDialog($("adding"), (camera) => {
  if (!cards.has(camera.name))
    addCard(camera).update(camera);
  $("empty").hidden = true;
  layOut();
  poll.now();
}, failed);
$("add").addEventListener("click", () => add.open());
$("add-first").addEventListener("click", () => add.open());

poll.now();
