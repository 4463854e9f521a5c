// Events, newest first, of one kind or of all, up to the moment shown.
import { $, agentLink, clock, element, fetched } from "./dom.js";
import { fleet, nowS } from "./fleet.js";

// The label of each kind; other kinds, such as an agent's own events, are shown as they are.
const KINDS = {
  state: "state", alert: "alert", raised: "alert raised", cleared: "alert cleared", action: "action by a user", recovery: "recovery", restart: "restart requested", restarted: "restarted",
  log: "log line", "log-rate-limited": "log lines dropped: too many",
  apply: "start of the fleet began", account: "start of the fleet is over", order: "process is being started", spawned: "started as a process of its own",
  adopted: "taken over as it runs", supervisor: "supervisor began", hub: "hub began", "hub-lost": "hub ended", "no-hub": "hub cannot be started",
  gap: "records are missing", "metrics-dropped": "metrics dropped: too many names", "store-damaged": "records are damaged",
  "scrape-recovered": "metrics can be scraped again", "scrape-failed": "metrics cannot be scraped",
  "hub-unreachable": "hub of a machine cannot be reached", "hub-reachable": "hub of a machine can be reached again", "machine-blind": "machine cannot be reached", "machine-linked": "machine is linked", "not-linked": "machines cannot be linked",
  "folder-lost": "state folder was deleted", "folder-made": "state folder was made again",
  zygote: "prepared process is ready", "zygote-lost": "prepared process ended", "no-zygote": "no process can be prepared",
  "forker-lost": "process starter ended", "no-forker": "process starter cannot be started", "no-birth": "process did not come",
};
const CHOICE = ["state", "alert", "action", "recovery", "log", "restart", "apply", "account", "gap", "hub-unreachable", "hub-reachable", "supervisor"];
let kind = "";

export const kindName = (name) => (Object.hasOwn(KINDS, name) ? KINDS[name] : name);

export function eventLine(event) {
  const text = [event.state && event.kind === "state" ? "" : kindName(event.kind), event.action, event.state, event.outcome, event.text, event.withheld && "output is shown only with the token"].filter(Boolean).join(" · ");
  return element("li", {}, element("time", {}, `${clock(event.time)} `), event.machine ? `${event.machine} · ` : "",
    ...(fleet.declared.has(event.agent) ? [agentLink(event.agent), " · "] : []), element("span", { title: event.kind }, text));
}

export async function draw() {
  const query = new URLSearchParams({ most: 300, to: Math.round(nowS() * 1000) });
  if (kind) query.set("kind", kind);
  const { events } = await fetched(`api/events?${query}`);
  const choice = element("p", { class: "choice" }, element("label", {}, "Kind ", element("select", { onchange: (event) => { kind = event.target.value; draw(); } },
    ...["", ...CHOICE].map((each) => element("option", { value: each, ...(each === kind ? { selected: "" } : {}) }, kindName(each) || "all")))));
  $("events").replaceChildren(choice, element("ol", { class: "lines" }, ...events.map(eventLine)));
}
