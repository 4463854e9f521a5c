// The fleet as the hub tells it: now, by its stream, or at a moment of the past.
import { fetched, span } from "./dom.js";

const live = new Map(); // "machine agent" -> standing
let past = null; // the same at a moment, null for now
const watchers = new Set();

export const fleet = { name: "argosy", environment: "", actions: "never", declared: new Map(), machines: {}, isLost: false, momentS: null };
export const key = (each) => `${each.machine} ${each.agent}`;
export const agents = () => past ?? live;
export const nowS = () => fleet.momentS ?? Date.now() / 1000;
export const groupOf = (each) => fleet.declared.get(each.agent)?.group || "";
// what there is to say of its state; of a silent agent it grows
export const reason = (each) => (each.silent_since ? `silent for ${span(nowS() - each.silent_since)}` : each.reason);
// States of trouble, worst first.
export const TROUBLE = ["given-up", "failing", "blocked", "degraded"];
export const isTrouble = (each) => TROUBLE.includes(each.state);
export const byTrouble = (a, b) => TROUBLE.indexOf(a.state) - TROUBLE.indexOf(b.state) || a.agent.localeCompare(b.agent);
// The state in a few words and its cause: what the words of the state say is not said again by the cause.
export function account(each) {
  const why = reason(each) ?? "", [all, count, cause] = /^given up after (\d+) restarts?: (.*)$/s.exec(why) ?? [];
  return all ? [`${each.state} after ${count} ${count === "1" ? "restart" : "restarts"}`, cause] : [each.state, why];
}
export const standing = (name) => [...agents().values()].find((each) => each.agent === name);

// watcher(change): a standing that changed, or null when all has to be drawn anew
export const watch = (watcher) => watchers.add(watcher);
const tell = (change) => { for (const watcher of watchers) watcher(change); };

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

export async function learn() {
  const told = await fetched("api/declared");
  Object.assign(fleet, { name: told.fleet, environment: told.environment, actions: told.actions, machines: told.machines, declared: new Map(Object.entries(told.declared)) });
}

function hear(each) {
  const name = key(each), before = live.get(name);
  if (before && each.since < before.since) return; // told late: it has gone on since
  live.set(name, each);
  if (!past) tell(before ? each : null);
}

export function follow() {
  const stream = new EventSource("events");
  stream.onmessage = (event) => hear(JSON.parse(event.data));
  stream.onopen = async () => {
    const was = fleet.isLost;
    fleet.isLost = false;
    if (was) { // another life of the hub, perhaps of another fleet file: what it does not know any more goes
      await learn();
      const known = new Set((await fetched("api/fleet")).agents.map((each) => key(each)));
      for (const name of [...live.keys()]) if (!known.has(name)) live.delete(name);
    }
    tell(null);
  };
  stream.onerror = () => {
    fleet.isLost = true;
    tell(null);
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 2000); // an answer that was no stream
  };
}

export async function goTo(momentS) {
  if (momentS === null) {
    past = fleet.momentS = null;
    tell(null);
    return;
  }
  const { agents: told } = await fetched(`api/at?time=${Math.round(momentS * 1000)}`);
  fleet.momentS = momentS;
  past = new Map(told.map((each) => [key(each), each]));
  for (const each of live.values()) if (!past.has(key(each))) past.set(key(each), { ...each, state: "unknown", since: momentS, reason: "nothing is known of it then", pid: null });
  tell(null);
}
