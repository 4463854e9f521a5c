// The last starts: a bar for each agent with what it waited for, and the critical path.
import { $, agentLink, clock, element, fetched } from "./dom.js";
import { agents } from "./fleet.js";

const PHASES = { needs: "waits for needs", admission: "waits for a processor", start: "starts", backoff: "waits to restart", stop: "stops" };
let starts = [], shown = 0, machine = "";

export async function draw() {
  const machines = [...new Set([...agents().values()].map((each) => each.machine))].sort();
  const query = machine ? `?most=10&machine=${encodeURIComponent(machine)}` : "?most=10";
  const body = await fetched(`api/starts${query}`);
  machine = body.machine;
  starts = body.starts;
  shown = Math.min(shown, Math.max(0, starts.length - 1));
  drawStart([...new Set([...machines, machine])]);
}

function drawStart(machines) {
  const start = starts[shown];
  const chosen = element("p", { class: "choice" }, element("label", {}, "Start ", element("select", { onchange: (event) => { shown = Number(event.target.value); drawStart(machines); } },
    ...starts.map((each, at) => element("option", { value: at, ...(at === shown ? { selected: "" } : {}) }, `${clock(each.at)}, ${each.bars.length} agents, ${each.seconds.toFixed(2)} s`)))));
  if (machines.length > 1) chosen.append(" ", element("label", {}, "by the supervisor on ", element("select", { onchange: (event) => { machine = event.target.value; shown = 0; draw(); } },
    ...machines.map((each) => element("option", { value: each, ...(each === machine ? { selected: "" } : {}) }, each || "this machine")))));
  if (!start) {
    $("timeline").replaceChildren(chosen, element("p", {}, "No start of this machine is recorded."));
    return;
  }
  const path = new Set(start.critical_path);
  const words = `${start.bars.filter((bar) => bar.ready !== null).length} of ${start.bars.length} agents ready in ${start.seconds.toFixed(2)} s${start.is_over ? "" : ", still running"}; ${start.needs_alone_seconds.toFixed(2)} s without waiting for processors.`;
  const chain = element("p", {}, "★ critical path: ", ...start.critical_path.flatMap((name, at) => [...(at ? [" → "] : []), agentLink(name)]));
  const legend = element("p", { class: "legend" }, ...Object.entries(PHASES).flatMap(([phase, word]) => [element("span", { class: `bar ${phase}` }), ` ${word} `]));
  const rows = start.bars.map((bar) => row(bar, start.seconds, path.has(bar.agent)));
  $("timeline").replaceChildren(chosen, element("p", {}, words), chain, legend, element("ol", { class: "bars" }, ...rows));
}

function row(bar, whole, isCritical) {
  const end = bar.ready === null ? bar.end || "not ready" : `${bar.ready.toFixed(2)} s`;
  const track = element("span", { class: "line", title: bar.stretches.map(([phase, from, to]) => `${PHASES[phase]} ${(to - from).toFixed(2)} s`).join(", ") + (bar.gate ? `; last waited for ${bar.gate}` : "") });
  for (const [phase, from, to] of bar.stretches) {
    const piece = element("span", { class: `bar ${phase}` });
    piece.style.left = `${(100 * from) / whole}%`;
    piece.style.width = `${Math.max(0.15, (100 * (to - from)) / whole)}%`;
    track.append(piece);
  }
  return element("li", isCritical ? { class: "critical" } : {}, element("span", { class: "who" }, isCritical ? "★ " : "", agentLink(bar.agent)), track, element("span", { class: "end" }, end));
}
