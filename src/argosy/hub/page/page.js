// The hub's page: draws what the hub reports; nothing is loaded from elsewhere.
import { $, clock, mark, announce } from "./dom.js";
import { agents, fleet, follow, loadDeclared, subscribe } from "./fleet.js";
import * as tiles from "./tiles.js";
import * as counts from "./counts.js";
import * as graph from "./graph.js";
import * as timeline from "./timeline.js";
import * as machines from "./machines.js";
import * as alerts from "./alerts.js";
import * as events from "./events.js";
import * as agent from "./agent.js";
import * as actions from "./actions.js";
import * as past from "./history.js";
import * as keys from "./keys.js";

const VIEWS = { tiles: "f", graph: "g", timeline: "t", machines: "m", alerts: "a", events: "e" };
const DRAWS = { tiles: tiles.draw, graph: graph.draw, timeline: timeline.draw, machines: machines.draw, alerts: () => alerts.draw(), events: events.draw, agent: () => agent.draw(agentName()) };
let view = "", wasLost = false, redraw = 0;

const agentName = () => decodeURIComponent(location.hash.slice("#/agent/".length));

async function show() {
  const before = view, [, wanted = ""] = location.hash.split("/");
  if (before && !location.hash.startsWith("#/")) return; // an anchor within this view: the skip link
  view = wanted === "agent" || wanted in VIEWS ? wanted : "tiles";
  for (const each of [...Object.keys(VIEWS), "agent"]) $(each).hidden = each !== view;
  for (const link of document.querySelectorAll("nav a")) link.dataset.view === view ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  await drawView();
  if (view === "agent" && before) $("agent-name")?.focus({ preventScroll: true });
  if (before && before !== view) scrollTo(0, 0);
}

async function drawView() {
  try {
    await DRAWS[view]();
  } catch (error) {
    if (!fleet.isLost) banner(`■ ${error.message}`);
  }
}

function banner(text) {
  $("banner").hidden = !text;
  if ($("banner").textContent !== text) $("banner").textContent = text;
}

function summarise() {
  counts.draw();
  $("name").textContent = [fleet.name, fleet.environment].filter(Boolean).join(" · ");
  const bad = [...agents().values()].filter((each) => mark(each.state)[1] === "bad").length;
  document.title = (bad ? `(${bad}) ` : "") + $("name").textContent;
  if (fleet.isLost !== wasLost) announce(fleet.isLost ? "the hub does not answer" : "the hub answers again");
  wasLost = fleet.isLost;
  document.body.classList.toggle("past", fleet.momentS !== null);
  banner(fleet.isLost ? "▲ The hub does not answer; the page shows its last data." : fleet.momentS !== null ? `◷ The fleet as it was at ${clock(fleet.momentS)}.` : "");
}

let isDrawn = false;
subscribe((each) => {
  if (each) {
    tiles.drawOne(each, true);
    if (view === "graph") graph.drawOne(each);
    if (view === "agent" && agent.shownAgent() === each.agent) agent.drawState();
  } else isDrawn = false;
  redraw ||= setTimeout(() => { // once for changes that arrive together
    redraw = 0;
    summarise();
    if (isDrawn) {
      if (tiles.isMisplaced()) tiles.draw();
      else if (tiles.stateFilter()) tiles.applySearch();
      return;
    }
    isDrawn = true;
    if (view !== "tiles") tiles.draw();
    drawView();
  }, 50);
});

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  if (view === "agent") drawView();
}

function every(ms, action) {
  setInterval(() => { if (!document.hidden && !fleet.isLost) Promise.resolve(action()).catch(() => {}); }, ms);
}

setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
$("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("find").addEventListener("input", () => { if (view !== "tiles") location.hash = "#/tiles"; tiles.applySearch(); });
for (const [name, key] of Object.entries(VIEWS)) keys.bind(key, name === "tiles" ? "the fleet" : name, () => { location.hash = `#/${name}`; });
keys.bind("/", "find", () => $("find").focus());
keys.bind("h", "history: select a time", () => $("moment").focus());
keys.bind(",", "previous event", () => past.step(-1));
keys.bind(".", "next event", () => past.step(1));
keys.bind("r", "restart the agent shown", () => { if (view === "agent" && actions.canAct()) actions.act("restart", [agent.shownAgent()]); });
keys.bind("Escape", "back to now, or to the fleet", () => { if (fleet.momentS !== null) past.move(null); else location.hash = "#/tiles"; });
keys.begin();
actions.storeToken();
addEventListener("hashchange", show);
await loadDeclared();
follow();
await show();
actions.onAction(() => { alerts.poll(); if (view === "alerts") alerts.draw(); if (view === "agent") agent.drawMetrics(); });
alerts.poll();
past.begin();
every(10000, () => { if (view === "tiles") tiles.drawAges(); if (view === "agent") agent.drawState(); });
every(3000, alerts.poll);
every(5000, () => { if (fleet.momentS !== null) return undefined; if (view === "machines") return machines.draw(); if (view === "agent") return Promise.all([agent.drawMetrics(), agent.drawLog()]); return undefined; });
