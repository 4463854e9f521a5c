// The fleet at a glance: a tile for each agent, by machine and group.
import { $, element, mark, span } from "./dom.js";
import { agents, groupOf, key, nowS, reason } from "./fleet.js";
import { rove } from "./keys.js";

const tiles = new Map(); // "machine agent" -> {tile, sign, note, kind}

export function draw() {
  const machines = new Map();
  for (const each of agents().values()) {
    const groups = machines.get(each.machine) ?? machines.set(each.machine, new Map()).get(each.machine);
    (groups.get(groupOf(each)) ?? groups.set(groupOf(each), []).get(groupOf(each))).push(each);
  }
  const focused = document.activeElement?.dataset?.agent;
  tiles.clear();
  const laid = [];
  for (const [machine, groups] of [...machines].sort()) {
    for (const [group, members] of [...groups].sort()) {
      const row = element("div", { class: "group" });
      for (const each of members.sort((a, b) => a.agent.localeCompare(b.agent))) row.append(made(each));
      laid.push(element("h2", {}, [machine, group].filter(Boolean).join(" · ") || "agents"), row);
    }
  }
  $("tiles").replaceChildren(...laid);
  find();
  if (focused) $("tiles").querySelector(`[data-agent="${CSS.escape(focused)}"]`)?.focus();
}

function made(each) {
  const sign = element("span", { class: "mark", "aria-hidden": "true" }), note = element("small");
  const tile = element("a", { class: "tile", href: `#/agent/${encodeURIComponent(each.agent)}`, "data-agent": each.agent, tabindex: "-1" }, sign, element("b", {}, ...each.agent.split(/(?=[A-Z][a-z])/).flatMap((part, at) => (at ? [element("wbr"), part] : [part]))), note);
  tiles.set(key(each), { tile, sign, note, kind: "" });
  drawOne(each);
  return tile;
}

export function drawOne(each, hasChanged = false) {
  const found = tiles.get(key(each));
  if (!found) return;
  const [sign, kind] = mark(each.state), age = `for ${span(nowS() - each.since)}`, why = reason(each);
  const note = `${each.state} · ${each.state === "ready" ? age : why || age}`;
  if (found.note.textContent !== note) found.note.textContent = note;
  if (found.kind !== each.state) {
    found.kind = each.state;
    found.sign.textContent = sign;
    found.tile.className = `tile ${kind}`;
  }
  const title = why ? `${each.agent}: ${why}` : each.agent;
  if (found.tile.title !== title) found.tile.title = title;
  if (hasChanged) {
    found.tile.classList.remove("changed");
    requestAnimationFrame(() => found.tile.classList.add("changed"));
  }
}

export function drawAges() {
  for (const each of agents().values()) drawOne(each);
}

export function find() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [name, { tile }] of tiles) {
    const each = agents().get(name);
    const text = `${each.agent} ${each.machine} ${each.state} ${groupOf(each)}`.toLowerCase();
    tile.hidden = !words.every((word) => text.includes(word));
  }
  for (const row of $("tiles").querySelectorAll(".group")) {
    row.hidden = ![...row.children].some((tile) => !tile.hidden);
    row.previousElementSibling.hidden = row.hidden;
  }
  rove($("tiles"), ".tile");
}
