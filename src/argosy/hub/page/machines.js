// The machines: whether they can be reached, their hardware, and their agents.
import { $, clock, element, fetched, mark, announce } from "./dom.js";
import { agents, fleet } from "./fleet.js";
import { act } from "./actions.js";

const blind = new Set();

export async function draw() {
  const { machines, viewers } = await fetched("api/machines");
  for (const each of machines) {
    if (each.state === "blind" && !blind.has(each.machine)) { blind.add(each.machine); announce(`${each.machine} cannot be reached`); }
    if (each.state !== "blind" && blind.delete(each.machine)) announce(`${each.machine} can be reached again`);
  }
  const home = new Set(machines.map((each) => each.machine));
  const others = [...new Set([...agents().values()].map((each) => each.machine))].filter((each) => !home.has(each)).sort();
  const here = machines[0]?.machine || "this machine";
  const cards = [...machines, ...others.map((name) => ({ machine: name, state: "here", note: `the same host as ${here}` }))].map((each) => card({ ...fleet.machines[each.machine], ...each }));
  $("machines").replaceChildren(element("div", { class: "cards" }, ...cards), element("p", {}, `${viewers} ${viewers === 1 ? "viewer is" : "viewers are"} connected to this hub.`));
}

function card(each) {
  const on = [...agents().values()].filter((agent) => agent.machine === each.machine);
  const counts = new Map();
  for (const agent of on) counts.set(agent.state, (counts.get(agent.state) ?? 0) + 1);
  const isBlind = each.state === "blind";
  const rows = [
    ["reached", isBlind ? `not since ${clock(each.since)}: ${each.reason}. Its agents are shown as of then.` : each.note ?? (each.state === "here" ? "here" : `linked since ${clock(each.since)}`)],
    ["agents", on.length ? [...counts].sort((a, b) => b[1] - a[1]).map(([state, count]) => `${mark(state)[0]} ${count} ${state}`).join(", ") : "none"],
    ...(each.gpu ? [["GPU", [each.gpu, each.gpu_memory].filter(Boolean).join(", ")]] : []),
    ...Object.entries(each.labels ?? {}),
    ...(each.skew_s ? [["clock", `${Math.abs(each.skew_s).toFixed(2)} s ${each.skew_s > 0 ? "ahead" : "behind"}`]] : []),
    ...(each.events !== undefined ? [["records", `${each.events} events and ${each.sample_rows} seconds of metrics, of ${each.incarnations} ${each.incarnations === 1 ? "incarnation" : "incarnations"} of its hub`]] : []),
  ];
  return element("article", { class: `card ${isBlind ? "bad" : "good"}` }, element("h2", {}, `${isBlind ? "⊘" : "◆"} ${each.machine || "this machine"}`),
    element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))])),
    ...(each.machine ? [element("p", { class: "actions" }, element("button", { onclick: () => act("silence", [each.machine], 60, { machines: [each.machine] }) }, "Silence for 1 h"))] : []));
}
