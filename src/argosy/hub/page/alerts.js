// Alerts: the active ones with cause and dependents, silences, receivers, and the history.
import { $, agentLink, clock, element, fetched, announce, spaced, span } from "./dom.js";
import { fleet } from "./fleet.js";
import { act } from "./actions.js";

let active = new Map(), last = "", isFirst = true, notices = 0;
let target = "", minutes = "10"; // selected for the next silence

export async function poll() {
  const found = await fetched("api/alerts");
  const now = new Map(found.active.map((each) => [each.key, each]));
  if (!isFirst) {
    for (const [key, each] of now) if (!active.has(key)) announce(`Alert: ${each.text}`);
    for (const [key, each] of active) if (!now.has(key)) announce(`Over: ${each.text}`);
  }
  isFirst = false;
  active = now;
  if (found.notices.length !== notices) for (const each of found.notices) announce(each.text);
  notices = found.notices.length;
  $("count").textContent = now.size || notices ? ` (${now.size + notices})` : "";
  $("count").parentElement.classList.toggle("bad", now.size > 0);
  const text = JSON.stringify(found);
  if (text === last) return;
  last = text;
  if (!$("alerts").hidden) draw(found);
}

export async function draw(found = null) {
  found ??= await fetched("api/alerts");
  last = JSON.stringify(found);
  const [{ events: recoveries }, { events: past }] = await Promise.all([fetched("api/events?kind=recovery&most=100"), fetched("api/events?kind=alert&most=100")]);
  const focused = $("alerts").contains(document.activeElement) ? document.activeElement.id : "";
  const cards = found.active.map((each) => alert(each, recoveries.filter((one) => one.alert === each.key && one.time >= each.since_s)));
  $("alerts").replaceChildren(
    ...found.notices.map((each) => element("p", { class: "card warn" }, `▲ ${each.text}`)),
    element("h2", {}, "Active"), ...(cards.length ? cards : [element("p", {}, "● No alert is active.")]),
    element("h2", {}, "Silences"), silences(found.silences),
    element("h2", {}, "Receivers"), receivers(found.receivers),
    element("h2", {}, "History"), element("ol", { class: "lines" }, ...past.map(alertLine)));
  if (focused) $(focused)?.focus({ preventScroll: true });
}

function alert(each, attempts) {
  const subject = fleet.declared.has(each.subject) ? agentLink(each.subject) : element("b", {}, each.subject || "this machine");
  const made = element("article", { class: "card bad" }, element("h3", {}, "■ ", subject), element("p", {}, each.text),
    element("p", {}, element("span", { class: "soft" }, `since ${clock(each.since_s)}, ${span(Date.now() / 1000 - each.since_s)}`, each.is_flapping ? "; it is flapping, and is reported again when it has been stable" : "")));
  if (each.dependents.length) made.append(element("p", {}, `Affected dependents (${each.dependents.length}): `, ...spaced(each.dependents.map((name) => agentLink(name)))));
  if (each.needed_by.length) made.append(element("p", {}, `Unaffected dependents (${each.needed_by.length}): `, ...spaced(each.needed_by.map((name) => agentLink(name)))));
  for (const one of attempts.reverse()) made.append(element("p", {}, `↻ recovery at ${clock(one.time)}: ${one.action}, attempt ${one.attempt} of ${one.max_attempts}: ${one.outcome}${one.text ? `, ${one.text}` : ""}`));
  if (fleet.declared.has(each.subject)) made.append(element("p", { class: "actions" },
    element("button", { onclick: () => act("restart", [each.subject]) }, `Restart ${each.subject}`), " ", element("button", { onclick: () => act("silence", [each.subject], 60) }, "Silence for 1 h")));
  return made;
}

function silences(windows) {
  const row = (each) => element("li", {}, `${each.agents === null ? "everything" : [...each.target.groups.map((name) => `group ${name}`), ...each.target.machines, ...each.agents].join(", ")}, until ${clock(each.until)}, by ${each.by} `,
    ...(each.by === "argosy" ? [] : [element("button", { onclick: () => act("unsilence", [], 0, each.target) }, "Expire")]));
  return element("div", {}, ...(windows.length ? [element("ul", {}, ...windows.map(row))] : [element("p", {}, "There are none.")]), silenceForm());
}

const DURATIONS = [["10", "10 min"], ["30", "30 min"], ["60", "1 h"], ["240", "4 h"], ["1440", "1 day"]];

// The names and the target of a choice of the select, as in the body of /api/actions/silence.
function targetOf(choice) {
  const [kind, name] = [choice.split(":", 1)[0], choice.slice(choice.indexOf(":") + 1)];
  if (!kind) return [[], { agents: [] }];
  return kind === "group" ? [[`group ${name}`], { groups: [name] }] : [[name], { machines: [name] }];
}

function silenceForm() {
  const groups = [...new Set([...fleet.declared.values()].map((each) => each.group).filter(Boolean))].sort(), machines = Object.keys(fleet.machines).sort();
  const choice = (value, text, chosen) => element("option", { value, ...(value === chosen ? { selected: "" } : {}) }, text);
  const several = (label, kind, names) => (names.length ? [element("optgroup", { label }, ...names.map((name) => choice(`${kind}:${name}`, name, target)))] : []);
  const targets = element("select", { id: "silence-target", onchange: (event) => { target = event.target.value; } }, choice("", "everything", target), ...several("groups", "group", groups), ...several("machines", "machine", machines));
  const durations = element("select", { id: "silence-minutes", onchange: (event) => { minutes = event.target.value; } }, ...DURATIONS.map(([value, text]) => choice(value, text, minutes)));
  const create = (event) => { event.preventDefault(); const [names, selected] = targetOf(targets.value); act("silence", names, Number(durations.value), selected); };
  return element("form", { class: "choice", onsubmit: create }, element("label", {}, "No alerts of ", targets), element("label", {}, "for ", durations), element("button", { id: "silence-create" }, "Create silence"));
}

function receivers(found) {
  const rows = Object.entries(found).map(([name, each]) => element("li", {}, `${each.failure ? "▲" : "●"} ${name}: ${each.waiting} waiting${each.failure ? `; delivery fails: ${each.failure}` : ""}`));
  return rows.length ? element("ul", {}, ...rows) : element("p", {}, "None: set a webhook or a command in hub.alerts of the fleet file.");
}

function alertLine(each) {
  return element("li", {}, element("time", {}, `${clock(each.time)} `), `${each.kind === "raised" ? "■ raised" : "● cleared"} · ${each.text}${each.dependents?.length ? ` · ${each.dependents.length} ${each.dependents.length === 1 ? "dependent" : "dependents"} affected` : ""}`);
}
