// Shared by all views: elements, formats of times and sizes, the sign and class of each state.
const MARKS = {
  ready: ["●", "good"], degraded: ["▲", "warn"], failing: ["■", "bad"], starting: ["◌", "wait"],
  waiting: ["…", "wait"], "restart-pending": ["↻", "warn"], stopping: ["◒", "wait"], exited: ["○", "wait"],
  "given-up": ["✕", "bad"], blocked: ["⊘", "bad"], unknown: ["?", "wait"],
};

export const $ = (id) => document.getElementById(id);
export const mark = (state) => MARKS[state] ?? MARKS.unknown;

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const STATES = Object.keys(MARKS);

export function span(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

export function clock(seconds) {
  const at = new Date(seconds * 1000), time = at.toLocaleTimeString([], { hour12: false });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}

export function size(bytes) {
  for (const [unit, one] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) if (bytes >= one) return `${(bytes / one).toFixed(1)} ${unit}`;
  return `${bytes} B`;
}

export function agentLink(name, text = name) {
  return element("a", { href: `#/agent/${encodeURIComponent(name)}` }, text);
}

export const spaced = (nodes) => nodes.flatMap((node, at) => (at ? [", ", node] : [node]));

// Reads need only the cookie; actions need the token.
export function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { authorization: `Bearer ${token}` } : {};
}

export async function fetched(path) {
  const answer = await fetch(path, { headers: headers() });
  if (answer.status === 401) location.replace(`login${location.hash}`); // the token was renewed, or the cookie has expired
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.errors?.[0]?.message ?? `${path}: ${answer.status}`);
  return body;
}

// Announces alerts, outcomes and a lost hub to screen readers, but not changes of single agents.
let pending = [], timer = 0;
export function announce(text) {
  pending.push(text);
  timer ||= setTimeout(() => { timer = 0; $("announcer").textContent = pending.splice(0).join(". "); }, 1000);
}
