// Alerts: what is open, by its cause and with who hangs on it; what was; quiet windows; who is told.
import { $, agentLink, clock, element, fetched, say, spaced, span } from "./dom.js";
import { fleet } from "./fleet.js";
import { act } from "./actions.js";

let told = new Map(), last = "", isFirst = true, notices = 0;
let what = "", minutes = "10"; // chosen for the next quiet window

export async function poll() {
  const found = await fetched("api/alerts");
  const now = new Map(found.open.map((each) => [each.key, each]));
  if (!isFirst) {
    for (const [key, each] of now) if (!told.has(key)) say(`Alert: ${each.text}`);
    for (const [key, each] of told) if (!now.has(key)) say(`Over: ${each.text}`);
  }
  isFirst = false;
  told = now;
  if (found.notices.length !== notices) for (const each of found.notices) say(each.text);
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
  const open = found.open.map((each) => alert(each, recoveries.filter((one) => one.alert === each.key && one.time >= each.since_s)));
  $("alerts").replaceChildren(
    ...found.notices.map((each) => element("p", { class: "card warn" }, `▲ ${each.text}`)),
    element("h2", {}, "Open"), ...(open.length ? open : [element("p", {}, "● Nothing is open.")]),
    element("h2", {}, "Quiet windows"), quiet(found.quiet),
    element("h2", {}, "Who is told"), receivers(found.receivers),
    element("h2", {}, "Raised and cleared"), element("ol", { class: "lines" }, ...past.map(line)));
  if (focused) $(focused)?.focus({ preventScroll: true });
}

function alert(each, attempts) {
  const about = fleet.declared.has(each.subject) ? agentLink(each.subject) : element("b", {}, each.subject || "this machine");
  const made = element("article", { class: "card bad" }, element("h3", {}, "■ ", about), element("p", {}, each.text),
    element("p", {}, element("span", { class: "soft" }, `since ${clock(each.since_s)}, ${span(Date.now() / 1000 - each.since_s)}`, each.is_flapping ? "; it comes and goes, and is told again when it has been calm" : "")));
  if (each.dependents.length) made.append(element("p", {}, `On it hang ${each.dependents.length}: `, ...spaced(each.dependents.map((name) => agentLink(name)))));
  if (each.needed_by.length) made.append(element("p", {}, `Needed by ${each.needed_by.length} that run on: `, ...spaced(each.needed_by.map((name) => agentLink(name)))));
  for (const one of attempts.reverse()) made.append(element("p", {}, `↻ recovery at ${clock(one.time)}: ${one.do}, attempt ${one.attempt} of ${one.of}: ${one.outcome}${one.text ? `, ${one.text}` : ""}`));
  if (fleet.declared.has(each.subject)) made.append(element("p", { class: "actions" },
    element("button", { onclick: () => act("restart", [each.subject]) }, `Restart ${each.subject}`), " ", element("button", { onclick: () => act("quiet", [each.subject], 60) }, "Quiet for 1 h")));
  return made;
}

function quiet(windows) {
  const row = (each) => element("li", {}, `${each.agents === null ? "everything" : [...each.asked.groups.map((name) => `group ${name}`), ...each.asked.machines, ...each.agents].join(", ")}, until ${clock(each.until)}, by ${each.by} `,
    ...(each.by === "argosy" ? [] : [element("button", { onclick: () => act("loud", [], 0, each.asked) }, "End it")]));
  return element("div", {}, ...(windows.length ? [element("ul", {}, ...windows.map(row))] : [element("p", {}, "None is open.")]), newWindow());
}

const DURATIONS = [["10", "10 min"], ["30", "30 min"], ["60", "1 h"], ["240", "4 h"], ["1440", "1 day"]];

// What a choice of the select is about, as /api/actions/quiet has it, and its words.
function about(choice) {
  const [kind, name] = [choice.split(":", 1)[0], choice.slice(choice.indexOf(":") + 1)];
  if (!kind) return [[], { agents: [] }];
  return kind === "group" ? [[`group ${name}`], { groups: [name] }] : [[name], { machines: [name] }];
}

function newWindow() {
  const groups = [...new Set([...fleet.declared.values()].map((each) => each.group).filter(Boolean))].sort(), machines = Object.keys(fleet.machines).sort();
  const choice = (value, text, chosen) => element("option", { value, ...(value === chosen ? { selected: "" } : {}) }, text);
  const several = (label, kind, names) => (names.length ? [element("optgroup", { label }, ...names.map((name) => choice(`${kind}:${name}`, name, what)))] : []);
  const whom = element("select", { id: "quiet-what", onchange: (event) => { what = event.target.value; } }, choice("", "everything", what), ...several("groups", "group", groups), ...several("machines", "machine", machines));
  const long = element("select", { id: "quiet-minutes", onchange: (event) => { minutes = event.target.value; } }, ...DURATIONS.map(([value, text]) => choice(value, text, minutes)));
  const make = (event) => { event.preventDefault(); const [names, asked] = about(whom.value); act("quiet", names, Number(long.value), asked); };
  return element("form", { class: "choice", onsubmit: make }, element("label", {}, "No alerts of ", whom), element("label", {}, "for ", long), element("button", { id: "quiet-open" }, "Make quiet"));
}

function receivers(found) {
  const rows = Object.entries(found).map(([name, each]) => element("li", {}, `${each.failure ? "▲" : "●"} ${name}: ${each.waiting} wait${each.failure ? `; it does not take them: ${each.failure}` : ""}`));
  return rows.length ? element("ul", {}, ...rows) : element("p", {}, "Nobody: hub.alerts in the fleet file names a webhook or a command.");
}

function line(each) {
  return element("li", {}, element("time", {}, `${clock(each.time)} `), `${each.kind === "raised" ? "■ raised" : "● cleared"} · ${each.text}${each.dependents?.length ? ` · ${each.dependents.length} hang on it` : ""}`);
}
