// The state of the fleet: now, from the event stream, or at a moment of the past.
import { fetched, span } from "./dom.js";

const live = new Map(); // "machine agent" -> snapshot
let past = null; // the same at a past moment, null for now
const subscribers = new Set();

export const fleet = { name: "argosy", environment: "", actions: "never", declared: new Map(), machines: {}, isLost: false, momentS: null };
export const key = (each) => `${each.machine} ${each.agent}`;
export const agents = () => past ?? live;
export const nowS = () => fleet.momentS ?? Date.now() / 1000;
export const groupOf = (each) => fleet.declared.get(each.agent)?.group || "";
// the reason of its state; of a silent agent, how long it has been silent
export const reason = (each) => (each.silent_since ? `silent for ${span(nowS() - each.silent_since)}` : each.reason);
// Unhealthy states, worst first.
export const UNHEALTHY = ["given-up", "failing", "blocked", "degraded"];
export const isUnhealthy = (each) => UNHEALTHY.includes(each.state);
export const byUnhealthy = (a, b) => UNHEALTHY.indexOf(a.state) - UNHEALTHY.indexOf(b.state) || a.agent.localeCompare(b.agent);
// The state as text and its cause, without repeating in the cause what the state says.
export function describeState(each) {
  const why = reason(each) ?? "", [all, count, cause] = /^given up after (\d+) restarts?: (.*)$/s.exec(why) ?? [];
  return all ? [`${each.state} after ${count} ${count === "1" ? "restart" : "restarts"}`, cause] : [each.state, why];
}
export const snapshotOf = (name) => [...agents().values()].find((each) => each.agent === name);

// subscriber(change): a changed snapshot, or null to redraw everything
export const subscribe = (subscriber) => subscribers.add(subscriber);
const notify = (change) => { for (const subscriber of subscribers) subscriber(change); };

export function needs(name) { return fleet.declared.get(name)?.needs ?? []; }
export function dependents(name, all = false) {
  const found = new Set([name]);
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const [each, { needs }] of fleet.declared) if (needs.some((need) => (all ? found.has(need) : need === name))) found.add(each);
    if (!all) break;
  }
  found.delete(name);
  return [...found].sort();
}

export async function loadDeclared() {
  const body = await fetched("api/declared");
  Object.assign(fleet, { name: body.fleet, environment: body.environment, actions: body.actions, machines: body.machines, declared: new Map(Object.entries(body.declared)) });
}

function receive(each) {
  const name = key(each), before = live.get(name);
  if (before && each.since < before.since) return; // outdated
  live.set(name, each);
  if (!past) notify(before ? each : null);
}

export function follow() {
  const stream = new EventSource("events");
  stream.onmessage = (event) => receive(JSON.parse(event.data));
  stream.onopen = async () => {
    const was = fleet.isLost;
    fleet.isLost = false;
    if (was) { // the hub may have restarted with another fleet file: remove agents that it does not know
      await loadDeclared();
      const known = new Set((await fetched("api/fleet")).agents.map((each) => key(each)));
      for (const name of [...live.keys()]) if (!known.has(name)) live.delete(name);
    }
    notify(null);
  };
  stream.onerror = () => {
    fleet.isLost = true;
    notify(null);
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 2000); // the response was not a stream
  };
}

export async function showMoment(momentS) {
  if (momentS === null) {
    past = fleet.momentS = null;
    notify(null);
    return;
  }
  const { agents: snapshots } = await fetched(`api/snapshot?time=${Math.round(momentS * 1000)}`);
  fleet.momentS = momentS;
  past = new Map(snapshots.map((each) => [key(each), each]));
  for (const each of live.values()) if (!past.has(key(each))) past.set(key(each), { ...each, state: "unknown", since: momentS, reason: "no record of that time", pid: null });
  notify(null);
}
