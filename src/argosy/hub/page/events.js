// Events, newest first, of one kind or of all, up to the moment shown.
import { $, agentLink, clock, element, fetched } from "./dom.js";
import { fleet, nowS } from "./fleet.js";

// The label of each kind; other kinds, such as an agent's own events, are shown as they are.
const KINDS = {
  state: "state", alert: "alert", raised: "alert raised", cleared: "alert cleared", action: "action by a user", recovery: "recovery", restart: "restart requested",
  "restart-finished": "restart finished", log: "log line", "log-rate-limited": "log lines dropped: too many", apply: "start of the fleet began",
  "apply-summary": "start of the fleet is over", "spawn-requested": "process is being started", "started-by-exec": "started as a process of its own",
  adopted: "taken over as it runs", supervisor: "supervisor began", "hub-started": "hub began", "hub-exited": "hub ended", "hub-start-failed": "hub cannot be started",
  gap: "records are missing", "metrics-dropped": "metrics dropped: too many names", "store-damaged": "records are damaged",
  "scrape-recovered": "metrics can be scraped again", "scrape-failed": "metrics cannot be scraped", "hub-unreachable": "hub of a machine cannot be reached",
  "hub-reachable": "hub of a machine can be reached again", "machine-unreachable": "machine cannot be reached", "machine-connected": "machine is connected",
  "peering-failed": "machines cannot be connected", "state-dir-lost": "state directory was deleted", "state-dir-recreated": "state directory was recreated",
  "zygote-ready": "prepared process is ready", "zygote-lost": "prepared process ended", "zygote-failed": "no process can be prepared",
  "forker-lost": "process starter ended", "forker-failed": "process starter cannot be started", "spawn-timeout": "process did not come",
  "fault-injected": "fault injected by a drill", "descriptors-exhausted": "file descriptors are exhausted",
};
const CHOICE = ["state", "alert", "action", "recovery", "log", "restart", "apply", "apply-summary", "gap", "hub-unreachable", "hub-reachable", "supervisor"];
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
