// The header's counts: the number of agents in each state; each count is a button that filters by it.
import { $, element, mark, STATES } from "./dom.js";
import { agents, UNHEALTHY } from "./fleet.js";
import { filter, stateFilter } from "./tiles.js";

const buttons = new Map(); // state -> its button; kept, so that focus and pressed state remain

const ORDER = [...new Set([...UNHEALTHY, ...STATES])];

function made(state) {
  const button = element("button", { "aria-pressed": "false", class: `count ${mark(state)[1]}`, "data-state": state, title: "show only these; press again to show all", onclick: () => {
    filter(stateFilter() === state ? "" : state);
    location.hash = "#/tiles";
    draw();
  } }, element("span", { class: "mark", "aria-hidden": "true" }, mark(state)[0]), " ", element("span", { class: "number" }), ` ${state}`);
  buttons.set(state, button);
  return button;
}

export function draw() {
  const counts = new Map();
  for (const each of agents().values()) counts.set(each.state, (counts.get(each.state) ?? 0) + 1);
  for (const state of ORDER) {
    const count = counts.get(state) ?? 0, isUsed = count > 0 || stateFilter() === state;
    if (!isUsed && !buttons.has(state)) continue;
    const button = buttons.get(state) ?? made(state);
    if (!button.isConnected) $("summary").insertBefore(button, ORDER.slice(ORDER.indexOf(state) + 1).map((each) => buttons.get(each)).find(Boolean) ?? $("total"));
    button.hidden = !isUsed;
    const text = String(count), shown = button.querySelector(".number");
    if (shown.textContent !== text) shown.textContent = text;
    button.setAttribute("aria-pressed", String(stateFilter() === state));
  }
  const total = agents().size ? `of ${agents().size} ${agents().size === 1 ? "agent" : "agents"}` : "no agent yet";
  if ($("total").textContent !== total) $("total").textContent = total;
}
