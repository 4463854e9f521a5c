// The hub's page: what the hub tells, drawn; nothing here is fetched from anywhere else.
import { $, clock, mark, say } from "./dom.js";
import { agents, fleet, follow, learn, watch } from "./fleet.js";
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
  if (before && !location.hash.startsWith("#/")) return; // within this view: the link over the header
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
  if (fleet.isLost !== wasLost) say(fleet.isLost ? "the hub does not answer" : "the hub answers again");
  wasLost = fleet.isLost;
  document.body.classList.toggle("past", fleet.momentS !== null);
  banner(fleet.isLost ? "▲ The hub does not answer; what is shown is what it said last." : fleet.momentS !== null ? `◷ The fleet as it was at ${clock(fleet.momentS)}.` : "");
}

let isLaid = false;
watch((each) => {
  if (each) {
    tiles.drawOne(each, true);
    if (view === "graph") graph.drawOne(each);
    if (view === "agent" && agent.shown() === each.agent) agent.drawState();
  } else isLaid = false;
  redraw ||= setTimeout(() => { // once for all that comes at a time
    redraw = 0;
    summarise();
    if (isLaid) {
      if (tiles.isMoved()) tiles.draw();
      else if (tiles.filtered()) tiles.find();
      return;
    }
    isLaid = true;
    if (view !== "tiles") tiles.draw();
    drawView();
  }, 50);
});

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  if (view === "agent") drawView();
}

function every(ms, what) {
  setInterval(() => { if (!document.hidden && !fleet.isLost) Promise.resolve(what()).catch(() => {}); }, ms);
}

setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
$("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("find").addEventListener("input", () => { if (view !== "tiles") location.hash = "#/tiles"; tiles.find(); });
for (const [name, key] of Object.entries(VIEWS)) keys.bind(key, name === "tiles" ? "the fleet" : name, () => { location.hash = `#/${name}`; });
keys.bind("/", "find", () => $("find").focus());
keys.bind("h", "history: the moment that is shown", () => $("moment").focus());
keys.bind(",", "to the event before", () => past.step(-1));
keys.bind(".", "to the event after", () => past.step(1));
keys.bind("r", "restart the agent that is open", () => { if (view === "agent" && actions.canAct()) actions.act("restart", [agent.shown()]); });
keys.bind("Escape", "back to now, or to the fleet", () => { if (fleet.momentS !== null) past.move(null); else location.hash = "#/tiles"; });
keys.begin();
actions.takeToken();
addEventListener("hashchange", show);
await learn();
follow();
await show();
actions.onAct(() => { alerts.poll(); if (view === "alerts") alerts.draw(); if (view === "agent") agent.drawFigures(); });
alerts.poll();
past.begin();
every(10000, () => { if (view === "tiles") tiles.drawAges(); if (view === "agent") agent.drawState(); });
every(3000, alerts.poll);
every(5000, () => { if (fleet.momentS !== null) return undefined; if (view === "machines") return machines.draw(); if (view === "agent") return Promise.all([agent.drawFigures(), agent.drawLog()]); return undefined; });
