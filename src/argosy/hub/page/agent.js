// One agent: its health, metrics over time, restarts, last lines, needs and dependents.
import { $, agentLink, clock, element, fetched, headers, mark, spaced, span } from "./dom.js";
import { dependents, describeState, fleet, needs, nowS, snapshotOf } from "./fleet.js";
import { act, canAct } from "./actions.js";
import { eventLine } from "./events.js";
import { describeMetric } from "./metrics.js";

const STANDARD = new Set(["name", "status", "uptime", "pid", "since", "loop_lag_ms", "in_flight", "handled", "failed", "rss_bytes"]); // shown elsewhere
let name = "", metric = "", windowS = 3600, chart = null, parts = null;

export const shownAgent = () => name;

export async function draw(which) {
  if (which !== name) { name = which; metric = ""; }
  const part = (tag = "div") => element(tag);
  parts = { state: part("p"), actions: element("p", { class: "actions" }), health: part(), metrics: element("tbody"), chart: element("div", { id: "chart" }), events: element("ol", { class: "lines" }), log: element("pre", { tabindex: "0", "aria-label": "last lines" }), needs: part("p"), dependents: part("p") };
  const choice = element("select", { "aria-label": "over", onchange: (event) => { windowS = Number(event.target.value); drawChart(); } },
    ...[[900, "15 min"], [3600, "1 h"], [21600, "6 h"], [86400, "1 day"]].map(([value, word]) => element("option", { value, ...(value === windowS ? { selected: "" } : {}) }, word)));
  parts.title = element("h3", {}, "Over time");
  $("agent").replaceChildren(
    element("h2", { id: "agent-name", tabindex: "-1" }, name), parts.state, parts.actions,
    element("div", { class: "columns" },
      element("section", {}, element("h3", {}, "Health"), parts.health, element("h3", {}, "Metrics"), element("table", {}, parts.metrics)),
      element("section", {}, element("div", { class: "choice" }, parts.title, choice), parts.chart, element("h3", {}, "Needs"), parts.needs, element("h3", {}, "Needed by"), parts.dependents)),
    element("h3", {}, "Last events"), parts.events, element("h3", {}, "Last lines"), parts.log);
  drawState();
  await Promise.all([drawMetrics(), drawHealth(), drawLog()]);
}

export function drawState() {
  const each = snapshotOf(name), [sign, kind] = mark(each?.state), [word, cause] = each ? describeState(each) : [];
  parts.state.className = `word ${kind}`;
  parts.state.textContent = each ? `${sign} ${word} for ${span(nowS() - each.since)}${each.pid ? `, pid ${each.pid}` : ""}${each.machine ? `, on ${each.machine}` : ""}${cause ? `: ${cause}` : ""}` : "? no record of it";
  const isUp = each && !["exited", "given-up", "blocked", "unknown"].includes(each.state);
  parts.actions.replaceChildren(...(canAct() ? [
    element("button", { onclick: () => act("restart", [name]) }, isUp ? "Restart" : "Start"), " ",
    ...(isUp ? [element("button", { onclick: () => act("stop", [name]) }, "Stop"), " "] : []),
    element("button", { onclick: () => act("silence", [name], 10) }, "Silence for 10 min")] : []));
  const links = (names) => (names.length ? spaced(names.map((one) => { const [sign] = mark(snapshotOf(one)?.state); return element("span", {}, `${sign} `, agentLink(one)); })) : ["none"]);
  parts.needs.replaceChildren(...links(needs(name)));
  const direct = dependents(name), all = dependents(name, true);
  parts.dependents.replaceChildren(...links(direct), ...(all.length > direct.length ? [`, and ${all.length - direct.length} indirectly`] : []));
}

export async function drawMetrics() {
  const mine = name, body = await fetched(`api/agents/${encodeURIComponent(mine)}`);
  if (mine !== name) return;
  const metrics = Object.assign({}, ...body.agents.map((each) => each.metrics)), stale = Object.assign({}, ...body.agents.map((each) => each.stale));
  const rows = Object.entries(metrics).map(([each, value]) => [each, value, describeMetric(each)]).sort((a, b) => a[2].label.localeCompare(b[2].label)).map(([each, value, { label, show, meaning }]) => element("tr", {},
    element("td", {}, element("button", { "aria-pressed": String(each === metric), "data-metric": each, title: meaning, onclick: () => { metric = each; drawMetrics(); } }, label)), element("td", {}, show(value), ...(each in stale ? [element("span", { class: "word warn" }, ` ▲ stale: ${span(stale[each])}`)] : []))));
  parts.metrics.replaceChildren(...rows);
  const restarts = metrics.process_restarts ? [element("li", {}, `↻ ${metrics.process_restarts} ${metrics.process_restarts === 1 ? "restart" : "restarts"} since its supervisor started`)] : [];
  parts.events.replaceChildren(...restarts, ...body.events.map(eventLine));
  metric ||= ["handled", "process_pss_bytes"].find((each) => each in metrics) ?? Object.keys(metrics)[0] ?? "";
  await drawChart();
}

async function drawHealth() {
  const mine = name;
  if (fleet.momentS !== null) { parts.health.replaceChildren(element("p", { class: "soft" }, "Health is available only for now.")); return; }
  const { health, reason } = await fetched(`api/agents/${encodeURIComponent(mine)}/health`);
  if (mine !== name) return;
  if (!health || typeof health !== "object") { parts.health.replaceChildren(element("p", { class: "soft" }, `It does not answer argosy's health requests${reason ? ` (${reason})` : ""}.`)); return; }
  const rows = Object.entries(health).filter(([key, value]) => !STANDARD.has(key) && value !== null);
  const facts = [["status", health.status], ...rows].flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]);
  parts.health.replaceChildren(element("dl", {}, ...facts));
}

export async function drawLog() {
  const mine = name;
  if (fleet.momentS !== null) { parts.log.textContent = "Use argosy logs for the lines of that time."; return; }
  const answer = await fetch(`api/agents/${encodeURIComponent(mine)}/log?n=40`, { headers: headers() }), body = await answer.json();
  if (mine !== name) return;
  const text = answer.ok ? body.lines.join("\n") || "It has printed nothing on this machine." : body.errors[0].message;
  if (parts.log.textContent !== text) parts.log.textContent = text;
}

async function drawChart() {
  if (!metric) { parts.chart.textContent = "There are no metrics."; return; }
  const mine = name, shown = metric, to = nowS();
  const query = new URLSearchParams({ agent: mine, metric: shown, from: Math.round((to - windowS) * 1000), to: Math.round(to * 1000) });
  const [{ times, values }] = await Promise.all([fetched(`api/series?${query}`), window.uPlot ?? loadPlot()]);
  if (mine !== name || shown !== metric) return;
  const { label, show } = describeMetric(shown);
  parts.title.textContent = `${label} over time`;
  for (const button of parts.metrics.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.metric === shown));
  chart?.destroy();
  parts.chart.replaceChildren();
  if (!times.length) { parts.chart.textContent = "There are no samples in this time."; return; }
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--text");
  const axis = { stroke: colour, grid: { stroke: "#8883", width: 1 }, ticks: { stroke: "#8883" } };
  const labels = (_, ticks) => ticks.map((each) => show(each));
  const low = Math.min(...values), high = Math.max(...values);
  parts.chart.setAttribute("role", "img");
  parts.chart.setAttribute("aria-label", `${label}: ${times.length} values from ${show(low)} to ${show(high)}, last ${show(values.at(-1))}`);
  chart = new window.uPlot({ width: Math.max(260, Math.min(620, parts.chart.clientWidth || 420)), height: 190, legend: { show: false }, cursor: { show: false },
    axes: [axis, { ...axis, size: 76, values: labels }], scales: { x: { min: to - windowS, max: to } },
    series: [{}, { stroke: colour, width: 1.5, points: { show: times.length < 60 } }] }, [times.map((each) => each / 1000), values], parts.chart);
}

function loadPlot() {
  document.head.append(element("link", { rel: "stylesheet", href: "page/uplot.css" }));
  return new Promise((done, failed) => document.head.append(element("script", { src: "page/uplot.js", onload: done, onerror: failed })));
}
