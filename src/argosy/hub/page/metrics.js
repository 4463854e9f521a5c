// Labels, units and descriptions of argosy's own metrics; other metrics get a unit by the suffix of their name,
// or are shown as they are.
import { size } from "./dom.js";

// The values of these metrics are an index: into the engine's states and an agent's own status.
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
  uptime: ["uptime", duration, "time since the agent started"],
  status: ["reported status", word(STATUSES), "status reported by the agent"],
  process_state: ["state", word(STATES), "state by the supervisor"],
  process_restarts: ["restarts", count, "restarts since its supervisor started"],
  process_rss_bytes: ["memory (RSS)", size, "resident memory of the process; shared pages count in full"],
  process_pss_bytes: ["memory (PSS)", size, "resident memory of the process; shared pages count in proportion"],
  rss_bytes: ["memory (RSS), self-reported", size, "resident memory of the process, measured by the agent itself"],
  loop_lag_ms: ["event loop lag", milliseconds, "delay of the agent's event loop; high if something blocks it"],
  in_flight: ["requests in flight", count, "requests in progress"],
  handled: ["requests handled", count, "requests answered since the agent started"],
  failed: ["requests failed", count, "requests failed since the agent started"],
  missed_events: ["events missed", count, "events of other agents lost since the agent started"],
};
const ENDINGS = [
  [/_bytes$/, size], [/_kib$/i, (value) => size(value * 2 ** 10)], [/_mib$/i, (value) => size(value * 2 ** 20)], [/_gib$/i, (value) => size(value * 2 ** 30)],
  [/_ms$|_milliseconds$/, milliseconds], [/_per_s(econd)?$/, rate], [/_percent$|_pct$/, percent], [/_s$|_seconds$/, duration],
];

// {label, show, meaning} of a metric; the text in braces after its name are labels
export function describeMetric(name) {
  const base = name.replace(/\{.*/s, ""), [label, show, meaning] = Object.hasOwn(KNOWN, name) ? KNOWN[name] : [name, ENDINGS.find(([ending]) => ending.test(base))?.[1] ?? plain, ""];
  return { label, show, meaning: meaning ? `${name}: ${meaning}` : name };
}
