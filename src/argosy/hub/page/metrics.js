// What figures mean: a name for people, a unit and a meaning for those that argosy itself has; a unit for
// others by the end of their name. What neither knows is shown as it is.
import { size } from "./dom.js";

// The numbers of these are the place of a word: of the engine's states and of an agent's own status.
const STATES = ["waiting", "starting", "ready", "degraded", "failing", "restart-pending", "stopping", "exited", "given-up", "blocked"];
const STATUSES = ["starting", "ok", "degraded", "failing", "stopping"];

const plain = (value) => String(Math.round(value * 1000) / 1000);
const count = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : plain(value));
const milliseconds = (value) => `${plain(value)} ms`;
const percent = (value) => `${plain(value)} %`;
const rate = (value) => `${plain(value)}/s`;
const word = (words) => (value) => words[value] ?? plain(value);

// The two largest units of a time: "3 min 13 s".
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]], at = units.findIndex(([, one]) => seconds >= one);
  if (at < 0) return seconds > 0 ? milliseconds(seconds * 1000) : `${plain(seconds)} s`;
  if (at === 3) return `${Math.round(seconds * 10) / 10} s`;
  const [unit, one] = units[at], [smaller, small] = units[at + 1], rest = Math.floor((seconds % one) / small);
  return `${Math.floor(seconds / one)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
}

const KNOWN = {
  uptime: ["uptime", duration, "time since the agent began"],
  status: ["status it tells", word(STATUSES), "what the agent says of itself"],
  process_state: ["state", word(STATES), "what the supervisor says of the agent"],
  process_restarts: ["restarts", count, "restarts since its supervisor began"],
  process_rss_bytes: ["memory (RSS)", size, "memory of the process that is in RAM; pages that it shares with others count in full"],
  process_pss_bytes: ["memory (PSS)", size, "memory of the process that is in RAM; pages that it shares with others count in part"],
  rss_bytes: ["memory (RSS), as it tells", size, "memory of the process that is in RAM, measured by the agent itself"],
  loop_lag_ms: ["event loop lag", milliseconds, "how late the agent's event loop does what is due; high where something blocks it"],
  in_flight: ["requests in flight", count, "requests that the agent works on now"],
  handled: ["requests handled", count, "requests that were answered since the agent began"],
  failed: ["requests failed", count, "requests that ended with an error since the agent began"],
  missed_events: ["events missed", count, "events of other agents that did not arrive since the agent began"],
};
const ENDINGS = [
  [/_bytes$/, size], [/_kib$/i, (value) => size(value * 2 ** 10)], [/_mib$/i, (value) => size(value * 2 ** 20)], [/_gib$/i, (value) => size(value * 2 ** 30)],
  [/_ms$|_milliseconds$/, milliseconds], [/_per_s(econd)?$/, rate], [/_percent$|_pct$/, percent], [/_s$|_seconds$/, duration],
];

// {label, show, meaning} of a figure; what stands behind its name in braces are labels
export function figure(name) {
  const base = name.replace(/\{.*/s, ""), [label, show, meaning] = Object.hasOwn(KNOWN, name) ? KNOWN[name] : [name, ENDINGS.find(([ending]) => ending.test(base))?.[1] ?? plain, ""];
  return { label, show, meaning: meaning ? `${name}: ${meaning}` : name };
}
