// What happened, newest first, of one kind or of all, up to the moment that is shown.
import { $, agentLink, clock, element, fetched } from "./dom.js";
import { fleet, nowS } from "./fleet.js";

// What each kind is to a person; a kind that is not here, as of an agent's own events, is shown as it is.
const KINDS = {
  state: "state", alert: "alert", raised: "alert raised", cleared: "alert cleared", action: "action on the page", recovery: "recovery", restart: "restart asked for", restarted: "restarted",
  log: "printed", flood: "prints too much",
  apply: "start of the fleet began", account: "start of the fleet is over", "spawn-requested": "process is being started", "started-by-exec": "started as a process of its own",
  adopted: "taken over as it runs", supervisor: "supervisor began", "hub-started": "hub began", "hub-exited": "hub ended", "hub-start-failed": "hub cannot be started",
  gap: "records are missing", "figures-dropped": "figures left out: too many names", "store-damaged": "records are damaged",
  scraped: "metrics can be read again", unscraped: "metrics cannot be read",
  blind: "machine cannot be seen", sighted: "machine can be seen again", "machine-blind": "machine cannot be reached", "machine-linked": "machine is linked", "not-linked": "machines cannot be linked",
  "folder-lost": "state folder was deleted", "folder-made": "state folder was made again",
  "zygote-ready": "prepared process is ready", "zygote-lost": "prepared process ended", "zygote-failed": "no process can be prepared",
  "forker-lost": "process starter ended", "forker-failed": "process starter cannot be started", "spawn-timeout": "process did not come",
};
// Kinds as earlier versions wrote them into the records.
const RENAMED = {
  order: "spawn-requested", spawned: "started-by-exec", hub: "hub-started", "hub-lost": "hub-exited", "no-hub": "hub-start-failed",
  zygote: "zygote-ready", "no-zygote": "zygote-failed", "no-forker": "forker-failed", "no-birth": "spawn-timeout",
};
const CHOICE = ["state", "alert", "action", "recovery", "log", "restart", "apply", "account", "gap", "blind", "sighted", "supervisor"];
let kind = "";

export const words = (what) => {
  const kind = Object.hasOwn(RENAMED, what) ? RENAMED[what] : what;
  return Object.hasOwn(KINDS, kind) ? KINDS[kind] : kind;
};

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
