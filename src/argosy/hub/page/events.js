// What happened, newest first, of one kind or of all, up to the moment that is shown.
import { $, agentLink, clock, element, fetched } from "./dom.js";
import { fleet, nowS } from "./fleet.js";

const KINDS = ["", "state", "alert", "action", "recovery", "restart", "apply", "account", "gap", "blind", "sighted", "supervisor"];
let kind = "";

export function line(event) {
  const what = [event.kind, event.do, event.state, event.outcome, event.text, event.withheld && "what it printed is shown with the token"].filter(Boolean).join(" · ");
  return element("li", {}, element("time", {}, `${clock(event.time)} `), event.machine ? `${event.machine} · ` : "",
    ...(fleet.declared.has(event.agent) ? [agentLink(event.agent), " · "] : []), what);
}

export async function draw() {
  const query = new URLSearchParams({ most: 300, to: Math.round(nowS() * 1000) });
  if (kind) query.set("kind", kind);
  const { events } = await fetched(`api/events?${query}`);
  const choice = element("p", { class: "choice" }, element("label", {}, "Kind ", element("select", { onchange: (event) => { kind = event.target.value; draw(); } },
    ...KINDS.map((each) => element("option", { value: each, ...(each === kind ? { selected: "" } : {}) }, each || "all")))));
  $("events").replaceChildren(choice, element("ol", { class: "lines" }, ...events.map(line)));
}
