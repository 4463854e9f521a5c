// The header's counts: how many agents are in each state; each is a button that shows these alone.
import { $, element, mark, STATES } from "./dom.js";
import { agents, TROUBLE } from "./fleet.js";
import { filter, filtered } from "./tiles.js";

const buttons = new Map(); // state -> its button; they stay, so that a focus and a press do

const ORDER = [...new Set([...TROUBLE, ...STATES])];

function made(state) {
  const button = element("button", { "aria-pressed": "false", class: `count ${mark(state)[1]}`, "data-state": state, title: "show these alone; a second time shows all again", onclick: () => {
    filter(filtered() === state ? "" : state);
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
    const count = counts.get(state) ?? 0, isUsed = count > 0 || filtered() === state;
    if (!isUsed && !buttons.has(state)) continue;
    const button = buttons.get(state) ?? made(state);
    if (!button.isConnected) $("summary").insertBefore(button, ORDER.slice(ORDER.indexOf(state) + 1).map((each) => buttons.get(each)).find(Boolean) ?? $("total"));
    button.hidden = !isUsed;
    const text = String(count), shown = button.querySelector(".number");
    if (shown.textContent !== text) shown.textContent = text;
    button.setAttribute("aria-pressed", String(filtered() === state));
  }
  const total = agents().size ? `of ${agents().size} ${agents().size === 1 ? "agent" : "agents"}` : "no agent is known yet";
  if ($("total").textContent !== total) $("total").textContent = total;
}
