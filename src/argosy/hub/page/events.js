// What happened, newest first, of one kind or of all, up to the moment that is shown.
import { $, agentLink, clock, element, fetched } from "./dom.js";
import { fleet, nowS } from "./fleet.js";

// What each kind is to a person; a kind that is not here, as of an agent's own events, is shown as it is.
const KINDS = {
  state: "state", alert: "alert", raised: "alert raised", cleared: "alert cleared", action: "action on the page", recovery: "recovery", restart: "restart asked for", restarted: "restarted",
  log: "printed", flood: "prints too much",
  apply: "start of the fleet began", account: "start of the fleet is over", order: "process is being started", spawned: "started as a process of its own",
  adopted: "taken over as it runs", supervisor: "supervisor began", hub: "hub began", "hub-lost": "hub ended", "no-hub": "hub cannot be started",
  gap: "records are missing", "figures-dropped": "figures left out: too many names", "store-damaged": "records are damaged",
  scraped: "metrics can be read again", unscraped: "metrics cannot be read",
  blind: "machine cannot be seen", sighted: "machine can be seen again", "machine-blind": "machine cannot be reached", "machine-linked": "machine is linked", "not-linked": "machines cannot be linked",
  "folder-lost": "state folder was deleted", "folder-made": "state folder was made again",
  zygote: "prepared process is ready", "zygote-lost": "prepared process ended", "no-zygote": "no process can be prepared",
  "forker-lost": "process starter ended", "no-forker": "process starter cannot be started", "no-birth": "process did not come",
};
const CHOICE = ["state", "alert", "action", "recovery", "log", "restart", "apply", "account", "gap", "blind", "sighted", "supervisor"];
let kind = "";

export const words = (what) => (Object.hasOwn(KINDS, what) ? KINDS[what] : what);

export function line(event) {
  const what = [event.state && event.kind === "state" ? "" : words(event.kind), event.do, event.state, event.outcome, event.text, event.withheld && "what it printed is shown with the token"].filter(Boolean).join(" · ");
  return element("li", {}, element("time", {}, `${clock(event.time)} `), event.machine ? `${event.machine} · ` : "",
    ...(fleet.declared.has(event.agent) ? [agentLink(event.agent), " · "] : []), element("span", { title: event.kind }, what));
}

export async function draw() {
  const query = new URLSearchParams({ most: 300, to: Math.round(nowS() * 1000) });
  if (kind) query.set("kind", kind);
  const { events } = await fetched(`api/events?${query}`);
  const choice = element("p", { class: "choice" }, element("label", {}, "Kind ", element("select", { onchange: (event) => { kind = event.target.value; draw(); } },
    ...["", ...CHOICE].map((each) => element("option", { value: each, ...(each === kind ? { selected: "" } : {}) }, words(each) || "all")))));
  $("events").replaceChildren(choice, element("ol", { class: "lines" }, ...events.map(line)));
}
