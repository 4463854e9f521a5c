// The needs between agents: columns by the longest way from an agent without needs.
import { $, mark, svg } from "./dom.js";
import { agents, fleet, needs } from "./fleet.js";
import { rove } from "./keys.js";

const WIDTH = 205, HEIGHT = 22;
const nodes = new Map(); // agent -> {label, sign}

function columns() {
  const depth = new Map();
  const visit = (name, above) => {
    if (depth.has(name)) return depth.get(name);
    if (above.has(name)) return 0;
    above.add(name);
    const found = Math.max(0, ...needs(name).filter((need) => fleet.declared.has(need)).map((need) => visit(need, above) + 1));
    above.delete(name);
    depth.set(name, found);
    return found;
  };
  const made = [];
  for (const name of fleet.declared.keys()) (made[visit(name, new Set())] ??= []).push(name);
  return made.map((names) => names.sort());
}

export function draw() {
  const laid = columns(), place = new Map();
  laid.forEach((names, x) => names.forEach((name, y) => place.set(name, [14 + x * WIDTH, 20 + y * HEIGHT])));
  const rows = Math.max(1, ...laid.map((names) => names.length));
  const root = svg("svg", { viewBox: `0 0 ${laid.length * WIDTH + 20} ${rows * HEIGHT + 20}` });
  const edges = new Map();
  for (const [name, [x, y]] of place) for (const need of needs(name)) if (place.has(need)) {
    const [fromX, fromY] = place.get(need), startX = fromX + Math.min(WIDTH - 24, 18 + need.length * 6.9);
    const path = svg("path", { d: `M${startX},${fromY - 4} C${startX + 40},${fromY - 4} ${x - 46},${y - 4} ${x - 5},${y - 4}` });
    root.append(path);
    for (const end of [name, need]) (edges.get(end) ?? edges.set(end, []).get(end)).push([path, end === need ? "below" : "above"]);
  }
  nodes.clear();
  for (const [name, [x, y]] of place) {
    const sign = svg("tspan", {}), link = svg("a", { href: `#/agent/${encodeURIComponent(name)}`, class: "node", tabindex: "-1" });
    link.append(svg("text", { x, y }, sign, ` ${name}`));
    const light = (on) => (edges.get(name) ?? []).forEach(([path, way]) => path.classList.toggle(way, on));
    for (const event of ["mouseenter", "focus"]) link.addEventListener(event, () => light(true));
    for (const event of ["mouseleave", "blur"]) link.addEventListener(event, () => light(false));
    nodes.set(name, { link, sign });
    root.append(link);
  }
  $("graph").replaceChildren(root);
  for (const each of agents().values()) drawOne(each);
  rove($("graph"), ".node");
}

export function drawOne(each) {
  const found = nodes.get(each.agent);
  if (!found) return;
  const [sign, kind] = mark(each.state);
  found.sign.textContent = sign;
  found.sign.setAttribute("class", `${kind}-fill`);
  found.link.setAttribute("aria-label", `${each.agent}, ${each.state}`);
}
