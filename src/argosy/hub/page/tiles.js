// The fleet overview: a tile for each agent; unhealthy ones first, then by machine and group.
import { $, element, mark, span } from "./dom.js";
import { agents, byUnhealthy, describeState, groupOf, isUnhealthy, key, nowS, reason } from "./fleet.js";
import { rovingFocus } from "./keys.js";

const tiles = new Map(); // "machine agent" -> {tile, sign, note, cause, state, laidState}
let state = ""; // the only state shown; empty for all

export const stateFilter = () => state;
export function filter(wanted) {
  state = wanted;
  applySearch();
}

export function draw() {
  const before = new Map(tiles), focused = document.activeElement?.closest?.(".tile")?.dataset.agent;
  const all = [...agents().values()], unhealthy = all.filter(isUnhealthy).sort(byUnhealthy), machines = new Map();
  for (const each of all.filter((one) => !isUnhealthy(one))) {
    const groups = machines.get(each.machine) ?? machines.set(each.machine, new Map()).get(each.machine);
    (groups.get(groupOf(each)) ?? groups.set(groupOf(each), []).get(groupOf(each))).push(each);
  }
  tiles.clear();
  const laid = unhealthy.length ? section("Unhealthy", unhealthy, "group unhealthy") : [];
  for (const [machine, groups] of [...machines].sort()) {
    for (const [group, members] of [...groups].sort()) {
      laid.push(...section(heading(machine, group), members.sort((a, b) => a.agent.localeCompare(b.agent)), "group"));
    }
  }
  $("tiles").replaceChildren(...laid, element("p", { id: "none", hidden: "" }, "No agent matches."));
  for (const each of all) if (before.has(key(each)) && before.get(key(each)).laidState !== each.state) flash(tiles.get(key(each)).tile);
  applySearch();
  if (focused) $("tiles").querySelector(`[data-agent="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

const heading = (machine, group) => [machine, group].filter(Boolean).join(" · ") || "agents";
const section = (title, members, kind) => [element("h2", {}, title), element("div", { class: kind }, ...members.map(made))];

function made(each) {
  const sign = element("span", { class: "mark", "aria-hidden": "true" }), note = element("small"), cause = element("span", { class: "cause" });
  const parts = each.agent.split(/(?=[A-Z][a-z])/).flatMap((part, at) => (at ? [element("wbr"), part] : [part]));
  const tile = element("a", { class: "tile", href: `#/agent/${encodeURIComponent(each.agent)}`, "data-agent": each.agent, tabindex: "-1" }, sign, element("b", {}, ...parts), note, cause);
  tiles.set(key(each), { tile, sign, note, cause, state: "", laidState: each.state });
  drawOne(each);
  return tile;
}

export function drawOne(each, hasChanged = false) {
  const found = tiles.get(key(each));
  if (!found) return;
  const [sign, kind] = mark(each.state), [word, cause] = describeState(each), age = `for ${span(nowS() - each.since)}`;
  const hasCause = isUnhealthy(each), where = hasCause ? [heading(each.machine, groupOf(each))] : [];
  put(found.note, hasCause ? [word, age, ...where].join(" · ") : `${word} · ${each.state === "ready" ? age : cause || age}`);
  put(found.cause, hasCause ? cause : "");
  if (found.state !== each.state) {
    found.state = each.state;
    found.sign.textContent = sign;
    found.tile.className = `tile ${kind}`;
  }
  const title = reason(each) ? `${each.agent}: ${reason(each)}` : each.agent;
  if (found.tile.title !== title) found.tile.title = title;
  if (hasChanged) flash(found.tile);
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function flash(tile) {
  tile.classList.remove("changed");
  requestAnimationFrame(() => tile.classList.add("changed"));
}

// Whether an agent became unhealthy, healthy, or unhealthy in another way, so that its tile is misplaced.
export const isMisplaced = () => [...tiles].some(([name, { laidState }]) => {
  const each = agents().get(name);
  return each && each.state !== laidState && (isUnhealthy(each) || isUnhealthy({ state: laidState }));
});

export function drawAges() {
  for (const each of agents().values()) drawOne(each);
}

export function applySearch() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [name, { tile }] of tiles) {
    const each = agents().get(name);
    const text = `${each.agent} ${each.machine} ${each.state} ${groupOf(each)}`.toLowerCase();
    tile.hidden = Boolean(state && each.state !== state) || !words.every((word) => text.includes(word));
  }
  for (const row of $("tiles").querySelectorAll(".group")) {
    row.hidden = ![...row.children].some((tile) => !tile.hidden);
    row.previousElementSibling.hidden = row.hidden;
  }
  const none = $("none");
  if (none) none.hidden = !tiles.size || [...tiles.values()].some(({ tile }) => !tile.hidden);
  rovingFocus($("tiles"), ".tile");
}
