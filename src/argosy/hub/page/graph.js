// The dependency graph: columns by the longest path from an agent without needs; on a narrow screen a list by
// level. Failing agents are framed, and so are their dependents.
import { $, agentLink, element, mark, spaced, svg } from "./dom.js";
import { agents, fleet, needs } from "./fleet.js";
import { rovingFocus } from "./keys.js";

const ROW = 34, GAPS = [18, 90], SIGN = 18, LINE = 14, FONT = 12; // pixels on the screen at a zoom of 1
const ZOOMS = [0.5, 0.7, 1, 1.4, 2];
const narrow = matchMedia("(max-width: 44rem)");
const nodes = new Map(); // agent -> {link, sign, flag}
let edges = [], zoom = 1, pending = 0; // edges: {from, to, path}

function levels() {
  const depth = new Map();
  const visit = (name, above) => {
    if (depth.has(name)) return depth.get(name);
    if (above.has(name)) return 0;
    above.add(name);
    const found = Math.max(0, ...known(name).map((need) => visit(need, above) + 1));
    above.delete(name);
    depth.set(name, found);
    return found;
  };
  const made = [];
  for (const name of fleet.declared.keys()) (made[visit(name, new Set())] ??= []).push(name);
  return made.map((names) => names.sort());
}

const known = (name) => needs(name).filter((need) => fleet.declared.has(need));

// Place agents near their needs and dependents, so that fewer edges cross (barycentre heuristic, Sugiyama 1981).
function reduceCrossings(laid) {
  const near = new Map([...fleet.declared.keys()].map((name) => [name, known(name)]));
  for (const [name, above] of [...near].map(([each, list]) => [each, [...list]])) for (const need of above) near.set(need, [...near.get(need), name]);
  const place = new Map(), put = (names) => names.forEach((name, at) => place.set(name, (at + 0.5) / names.length));
  laid.forEach(put);
  for (let round = 0; round < 4; round += 1) for (const names of round % 2 ? [...laid].reverse() : laid) {
    const middle = new Map(names.map((name) => [name, near.get(name).reduce((sum, each) => sum + place.get(each), place.get(name)) / (near.get(name).length + 1)]));
    put(names.sort((a, b) => middle.get(a) - middle.get(b) || a.localeCompare(b)));
  }
  return laid;
}

// A name in one or two lines, split where a word starts.
function splitName(name) {
  const words = name.split(/(?=[A-Z][a-z])|(?<=[_-])/);
  if (name.length < 16 || words.length < 2) return [name];
  const cuts = words.slice(1).map((_, at) => [words.slice(0, at + 1).join(""), words.slice(at + 1).join("")]);
  return cuts.sort((a, b) => Math.max(...a.map((one) => one.length)) - Math.max(...b.map((one) => one.length)))[0];
}

export function draw() {
  nodes.clear();
  edges = [];
  const legend = element("p", { id: "affected-legend" });
  $("graph").replaceChildren(...(narrow.matches ? [legend, ...list()] : [element("div", { class: "choice" }, legend, zooms()), canvas()]));
  for (const each of agents().values()) drawOne(each);
  markAffected();
  rovingFocus($("graph"), ".node");
}

function zooms() {
  const to = (way) => () => { zoom = ZOOMS[ZOOMS.indexOf(zoom) + way] ?? zoom; scale(); };
  return element("span", { role: "group", "aria-label": "size of the graph" }, element("button", { onclick: to(-1), "aria-label": "smaller" }, "−"), " ", element("button", { onclick: to(1), "aria-label": "larger" }, "+"));
}

function scale() {
  const root = $("graph").querySelector("svg"), [, , width, height] = root.getAttribute("viewBox").split(" ").map(Number);
  root.setAttribute("width", width * zoom);
  root.setAttribute("height", height * zoom);
}

function canvas() {
  const laid = reduceCrossings(levels()), pen = document.createElement("canvas").getContext("2d");
  pen.font = `${FONT}px ${getComputedStyle(document.body).fontFamily}`;
  const texts = new Map([...fleet.declared.keys()].map((name) => [name, splitName(name)]));
  const wide = (name) => SIGN + 16 + Math.max(...texts.get(name).map((line) => pen.measureText(line).width));
  const room = Math.max(320, innerHeight - $("graph").getBoundingClientRect().top - scrollY - $("history").offsetHeight - 70);
  const height = Math.max(room, ROW * Math.max(1, ...laid.map((names) => names.length)));
  const widths = laid.map((names) => Math.max(...names.map(wide))), place = new Map();
  const spare = ($("graph").clientWidth - 24 - widths.reduce((sum, each) => sum + each, 0)) / Math.max(1, laid.length - 1);
  const gap = Math.min(GAPS[1], Math.max(GAPS[0], Math.floor(spare)));
  let x = 8;
  laid.forEach((names, column) => {
    names.forEach((name, at) => place.set(name, { x, y: ((at + 0.5) * height) / names.length }));
    x += widths[column] + gap;
  });
  const lines = svg("g", { class: "edges" }), shown = svg("g", {}), width = Math.max(1, x - gap + 8);
  for (const [name, to] of place) for (const need of known(name)) {
    const from = place.get(need), startX = from.x + wide(need) - 6, half = Math.max(16, (to.x - startX) / 2);
    const path = svg("path", { d: `M${startX},${from.y} C${startX + half},${from.y} ${to.x - half},${to.y} ${to.x - 4},${to.y}` });
    edges.push({ from: need, to: name, path });
    lines.append(path);
  }
  for (const [name, { x: left, y }] of place) shown.append(node(name, texts.get(name), left, y, wide(name)));
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: width * zoom, height: height * zoom }, lines, shown);
  return element("div", { class: "canvas" }, root);
}

function node(name, texts, x, y, width) {
  const sign = svg("tspan", {}), flag = svg("tspan", { class: "warn-fill" });
  const first = y + 4 - ((texts.length - 1) * LINE) / 2;
  const words = texts.map((line, at) => svg("text", { x: x + SIGN, y: first + at * LINE }, line));
  words.at(-1).append(flag);
  const link = svg("a", { href: `#/agent/${encodeURIComponent(name)}`, class: "node", tabindex: "-1", "data-agent": name },
    svg("rect", { x, y: y - ROW / 2 + 1, width, height: ROW - 2, rx: 5 }), svg("text", { x: x + 5, y: y + 4 }, sign), ...words);
  for (const event of ["mouseenter", "focus"]) link.addEventListener(event, () => highlight(name));
  for (const event of ["mouseleave", "blur"]) link.addEventListener(event, () => highlight(""));
  nodes.set(name, { link, sign, flag });
  return link;
}

// Highlight one agent with its needs and dependents; the rest fades.
function highlight(name) {
  const near = new Set([name]);
  for (const { from, to, path } of edges) {
    path.classList.toggle("above", Boolean(name) && to === name);
    path.classList.toggle("below", Boolean(name) && from === name);
    if (to === name) near.add(from);
    if (from === name) near.add(to);
  }
  $("graph").querySelector("svg").classList.toggle("lit", Boolean(name));
  for (const [each, { link }] of nodes) link.classList.toggle("near", near.has(each));
}

function list() {
  return levels().flatMap((names, level) => [
    element("h2", {}, level ? `Level ${level}` : "Level 0: these need nothing"),
    element("ul", { class: "level" }, ...names.map((name) => {
      const sign = element("span", { "aria-hidden": "true" }), flag = element("span", { class: "word warn" });
      const link = element("a", { href: `#/agent/${encodeURIComponent(name)}`, class: "node", tabindex: "-1", "data-agent": name }, sign, ` ${name}`, flag);
      nodes.set(name, { link, sign, flag });
      return element("li", {}, link, ...(known(name).length ? [element("small", { class: "soft" }, `needs ${known(name).join(", ")}`)] : []));
    }))]);
}

export function drawOne(each) {
  const found = nodes.get(each.agent);
  if (!found) return;
  const [sign, kind] = mark(each.state);
  found.sign.textContent = sign;
  found.sign.setAttribute("class", narrow.matches ? `word ${kind}` : `${kind}-fill`);
  pending ||= requestAnimationFrame(() => { pending = 0; markAffected(); });
}

// Mark the failing agents and, by another sign, their direct and indirect dependents.
function markAffected() {
  const states = new Map([...agents().values()].map((each) => [each.agent, each.state]));
  const failing = new Set([...nodes.keys()].filter((name) => mark(states.get(name))[1] === "bad")), affected = new Set(failing);
  for (let before = -1; before !== affected.size;) {
    before = affected.size;
    for (const name of nodes.keys()) if (known(name).some((need) => affected.has(need))) affected.add(name);
  }
  for (const [name, { link, flag }] of nodes) {
    const isAffected = affected.has(name) && !failing.has(name);
    link.classList.toggle("failing", failing.has(name));
    link.classList.toggle("affected", isAffected);
    flag.textContent = isAffected ? " ⚑" : "";
    link.setAttribute("aria-label", `${name}, ${states.get(name) ?? "unknown"}${isAffected ? ", needs a failing agent" : ""}`);
  }
  for (const { from, to, path } of edges) path.classList.toggle("affected", affected.has(from) && affected.has(to));
  describeAffected([...failing].sort(), affected.size - failing.size);
}

let describedAffected = "";
function describeAffected(failing, others) {
  const described = JSON.stringify([failing, others]), legend = $("affected-legend");
  if (described === describedAffected && legend.childNodes.length) return;
  describedAffected = described;
  if (!failing.length) { legend.textContent = narrow.matches ? "Nothing fails." : "Nothing fails. The needs of an agent are to its left; point at one to see its neighbours."; return; }
  const isOne = failing.length === 1;
  legend.replaceChildren(`■ ${failing.length} ${isOne ? "fails" : "fail"}: `, ...spaced(failing.map((name) => agentLink(name))), `. ⚑ ${others || "No"} ${others === 1 ? "agent needs" : "agents need"} ${isOne ? "it" : "one of them"}, directly or indirectly.`);
}

const redraw = () => { if (!$("graph").hidden) draw(); };
narrow.addEventListener("change", redraw);
let resized = 0;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(redraw, 200); });
