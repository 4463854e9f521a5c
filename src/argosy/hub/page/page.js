// The hub's page: what /events tells, drawn; nothing here is fetched from anywhere else.
const MARKS = {
  ready: ["●", "good"], degraded: ["▲", "warn"], failing: ["■", "bad"], starting: ["◌", "wait"],
  waiting: ["…", "wait"], "restart-pending": ["↻", "warn"], stopping: ["◒", "wait"], exited: ["○", "wait"],
  "given-up": ["✕", "bad"], blocked: ["⊘", "bad"], unknown: ["?", "wait"],
};
const $ = (id) => document.getElementById(id);
const agents = new Map(); // "machine agent" -> standing with group, needs
const tiles = new Map();
let declared = new Map(); // agent -> {machine, group, needs, wants}
let chart = null;
let shown = "";

const key = (each) => `${each.machine} ${each.agent}`;
const mark = (state) => MARKS[state] ?? MARKS.unknown;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function age(since) {
  const seconds = Math.max(0, Date.now() / 1000 - since);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.floor(seconds)} s`;
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

// ---- tiles

function groupOf(each) {
  return declared.get(each.agent)?.group || "";
}

function layTiles() {
  const machines = new Map();
  for (const each of agents.values()) {
    const groups = machines.get(each.machine) ?? machines.set(each.machine, new Map()).get(each.machine);
    const name = groupOf(each);
    (groups.get(name) ?? groups.set(name, []).get(name)).push(each);
  }
  tiles.clear();
  const laid = [];
  for (const [machine, groups] of [...machines].sort()) {
    for (const [group, members] of [...groups].sort()) {
      laid.push(element("h2", {}, [machine, group].filter(Boolean).join(" · ") || "agents"));
      const row = element("div", { class: "group" });
      for (const each of members.sort((a, b) => a.agent.localeCompare(b.agent))) {
        const tile = element("button", { class: "tile", onclick: () => open(each.agent) });
        tiles.set(key(each), tile);
        row.append(tile);
        drawTile(each);
      }
      laid.push(row);
    }
  }
  $("tiles").replaceChildren(...laid);
  find();
}

function drawTile(each) {
  const tile = tiles.get(key(each));
  if (!tile) return;
  const [sign, kind] = mark(each.state);
  tile.className = `tile ${kind}`;
  tile.title = each.reason ? `${each.agent}: ${each.reason}` : each.agent;
  const note = each.state === "ready" ? `for ${age(each.since)}` : each.reason || `for ${age(each.since)}`;
  tile.replaceChildren(
    element("span", { class: "mark", "aria-hidden": "true" }, sign),
    element("b", {}, each.agent),
    element("small", {}, `${each.state} · ${note}`),
  );
}

function summarise() {
  const counts = new Map();
  for (const each of agents.values()) counts.set(each.state, (counts.get(each.state) ?? 0) + 1);
  const parts = [...counts].sort((a, b) => b[1] - a[1]).map(([state, count]) => `${count} ${state}`);
  $("summary").textContent = parts.length ? `${agents.size} agents: ${parts.join(", ")}` : "no agent is known yet";
  const bad = [...agents.values()].filter((each) => mark(each.state)[1] === "bad").length;
  document.title = (bad ? `(${bad}) ` : "") + $("name").textContent;
}

function find() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [name, tile] of tiles) {
    const each = agents.get(name);
    const text = `${each.agent} ${each.machine} ${each.state} ${groupOf(each)}`.toLowerCase();
    tile.hidden = !words.every((word) => text.includes(word));
  }
  for (const row of $("tiles").querySelectorAll(".group")) {
    row.hidden = ![...row.children].some((tile) => !tile.hidden);
    row.previousElementSibling.hidden = row.hidden;
  }
}

// ---- graph: columns by the longest way from an agent without needs

function columns() {
  const depth = new Map();
  const visit = (name, above) => {
    if (depth.has(name)) return depth.get(name);
    if (above.has(name)) return 0; // a cycle of wants: needs have none
    above.add(name);
    const needs = (declared.get(name)?.needs ?? []).filter((need) => declared.has(need));
    const found = Math.max(0, ...needs.map((need) => visit(need, above) + 1));
    above.delete(name);
    depth.set(name, found);
    return found;
  };
  const made = [];
  for (const name of declared.keys()) (made[visit(name, new Set())] ??= []).push(name);
  return made.map((names) => names.sort());
}

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function drawGraph() {
  const laid = columns();
  const width = 210, height = 22, place = new Map();
  laid.forEach((names, x) => names.forEach((name, y) => place.set(name, [14 + x * width, 20 + y * height])));
  const rows = Math.max(1, ...laid.map((names) => names.length));
  const root = svg("svg", { viewBox: `0 0 ${laid.length * width + 20} ${rows * height + 20}`, role: "img" });
  const paths = new Map();
  for (const [name, [x, y]] of place) {
    for (const need of declared.get(name).needs ?? []) {
      if (!place.has(need)) continue;
      const [fromX, fromY] = place.get(need);
      const startX = fromX + width - 40;
      const path = svg("path", { d: `M${startX},${fromY - 4} C${startX + 30},${fromY - 4} ${x - 36},${y - 4} ${x - 6},${y - 4}` });
      root.append(path);
      for (const end of [name, need]) (paths.get(end) ?? paths.set(end, []).get(end)).push(path);
    }
  }
  const states = new Map([...agents.values()].map((each) => [each.agent, each.state]));
  for (const [name, [x, y]] of place) {
    const [sign, kind] = mark(states.get(name) ?? "unknown");
    const label = svg("text", { x, y, tabindex: "0", role: "button", "aria-label": `${name}, ${states.get(name) ?? "unknown"}` });
    label.append(svg("tspan", { class: `${kind}-fill` }, sign), ` ${name}`);
    const light = (on) => (paths.get(name) ?? []).forEach((path) => path.classList.toggle("on", on));
    for (const event of ["mouseenter", "focus"]) label.addEventListener(event, () => light(true));
    for (const event of ["mouseleave", "blur"]) label.addEventListener(event, () => light(false));
    label.addEventListener("click", () => open(name));
    label.addEventListener("keydown", (event) => event.key === "Enter" && open(name));
    root.append(label);
  }
  $("graph").replaceChildren(root);
}

// ---- events

function line(event) {
  const what = [event.kind, event.agent, event.state, event.text].filter(Boolean).join(" · ");
  return element("li", {}, element("time", {}, `${clock(event.time)} `), `${event.machine ? event.machine + " " : ""}${what}`);
}

async function drawEvents() {
  const { events } = await (await fetch("api/events?most=300")).json();
  const list = element("ol", { class: "lines" });
  list.append(...events.map(line));
  $("events").replaceChildren(list);
}

// ---- one agent

async function open(name) {
  shown = name;
  const box = $("agent");
  $("agent-name").textContent = name;
  $("agent-log").textContent = "";
  if (!box.open) box.showModal();
  await drawAgent(name);
}

async function drawAgent(name) {
  const answer = await fetch(`api/agents/${encodeURIComponent(name)}`);
  if (!answer.ok || shown !== name) return;
  const { agents: found, events, lines } = await answer.json();
  const now = found[0];
  const [sign, kind] = mark(now.state);
  $("agent-state").className = `word ${kind}`;
  $("agent-state").textContent = `${sign} ${now.state} for ${age(now.since)}${now.pid ? `, pid ${now.pid}` : ""}${now.reason ? `: ${now.reason}` : ""}`;
  const rows = Object.entries(now.figures).sort().map(([figure, value]) =>
    element("tr", {}, element("td", {}, element("button", { onclick: () => drawChart(name, figure) }, figure)), element("td", {}, String(Math.round(value * 1000) / 1000))));
  $("figures").tBodies[0].replaceChildren(...rows);
  const links = (names) => names.length ? names.flatMap((each) => [element("button", { onclick: () => open(each) }, each), " "]) : ["none"];
  $("needs").replaceChildren(...links(declared.get(name)?.needs ?? []));
  $("dependents").replaceChildren(...links([...declared].filter(([, each]) => (each.needs ?? []).includes(name)).map(([each]) => each)));
  $("agent-events").replaceChildren(...events.slice(0, 12).map(line));
  $("agent-log").textContent = (lines ?? []).join("\n") || "nothing";
  const first = ["handled", "process_pss_bytes"].find((figure) => figure in now.figures) ?? Object.keys(now.figures)[0];
  if (first) await drawChart(name, first);
}

async function drawChart(name, figure) {
  const query = new URLSearchParams({ agent: name, figure });
  const { times, values } = await (await fetch(`api/series?${query}`)).json();
  if (shown !== name) return;
  $("chart-name").textContent = `${figure}, the last hour`;
  chart?.destroy();
  $("chart").replaceChildren();
  if (!window.uPlot) await loadPlot();
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--text");
  const axis = { stroke: colour, grid: { stroke: "#8883", width: 1 }, ticks: { stroke: "#8883" } };
  chart = new uPlot(
    { width: Math.min(460, $("chart").clientWidth || 420), height: 180, legend: { show: false }, axes: [axis, { ...axis, size: 70 }],
      series: [{}, { stroke: colour, width: 1.5, points: { show: times.length < 60 } }] },
    [times.map((each) => each / 1000), values], $("chart"));
}

function loadPlot() {
  document.head.append(element("link", { rel: "stylesheet", href: "page/uplot.css" }));
  return new Promise((done, failed) => document.head.append(element("script", { src: "page/uplot.js", onload: done, onerror: failed })));
}

// ---- machines, the stream, the whole

async function drawMachines() {
  const { machines } = await (await fetch("api/machines")).json();
  const words = { here: "here", linked: "linked", blind: "blind" };
  $("machines").replaceChildren(...machines.map((each) => element("li", { class: each.state === "blind" ? "word bad" : "" },
    `${each.state === "blind" ? "⊘" : "◆"} ${each.machine || "this machine"}: ${words[each.state]}${each.state === "blind" ? ` since ${clock(each.since)}` : ""}${Math.abs(each.skew_s) > 0.5 ? `, its clock ${each.skew_s.toFixed(1)} s off` : ""}`)));
}

async function drawAlerts() {
  const { open: raised } = await (await fetch("api/alerts")).json();
  $("alerts").replaceChildren(...raised.map((each) => element("li", {},
    `■ ${each.text}, since ${clock(each.since_s)}${each.dependents.length ? `; on it hang ${each.dependents.join(", ")}` : ""}${each.is_flapping ? " (it comes and goes)" : ""}`)));
}

async function learn() {
  const { fleet, environment, declared: told } = await (await fetch("api/declared")).json();
  declared = new Map(Object.entries(told));
  $("name").textContent = [fleet, environment].filter(Boolean).join(" · ");
}

let isLaid = false, redraw = 0;
function hear(each) {
  const name = key(each), is_new = !agents.has(name);
  if (!is_new && each.since < agents.get(name).since) return; // told late: it has gone on since
  agents.set(name, each);
  if (is_new) isLaid = false;
  else {
    drawTile(each);
    const tile = tiles.get(name);
    tile?.classList.remove("changed");
    void tile?.offsetWidth;
    tile?.classList.add("changed");
    if (shown === each.agent && $("agent").open) drawAgent(each.agent);
  }
  redraw ||= requestAnimationFrame(() => {
    redraw = 0;
    if (!isLaid) { layTiles(); isLaid = true; }
    summarise();
    if (!$("graph").hidden) drawGraph();
  });
}

function follow() {
  const stream = new EventSource("events");
  stream.onmessage = (event) => hear(JSON.parse(event.data));
  stream.onerror = () => { $("summary").textContent = "the hub does not answer; what is shown is what it said last"; };
}

function show(view) {
  for (const each of ["tiles", "graph", "events"]) $(each).hidden = each !== view;
  for (const button of document.querySelectorAll("nav button")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  if (view === "graph") drawGraph();
  if (view === "events") drawEvents();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}

setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
$("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("find").addEventListener("input", find);
$("agent").addEventListener("close", () => { shown = ""; });
for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => show(button.dataset.view));
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); $("find").focus(); }
  const view = { t: "tiles", g: "graph", e: "events" }[event.key];
  if (view) show(view);
});
setInterval(() => { if (!document.hidden) for (const each of agents.values()) drawTile(each); }, 10000);
setInterval(() => { if (!document.hidden) { drawMachines(); drawAlerts(); } }, 3000);
await learn();
drawMachines();
drawAlerts();
follow();
