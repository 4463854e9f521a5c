// The keyboard: arrows within tiles and graph, single-letter keys (which can be disabled), and their list.
import { $, element } from "./dom.js";

const keys = new Map(); // key -> [label, action]
export const bind = (key, label, action) => keys.set(key, [label, action]);
const areUsed = () => localStorage.getItem("keys") !== "off";

// One tab stop for all matching elements; arrow keys move to the nearest in their direction.
export function rovingFocus(root, selector) {
  const all = () => [...root.querySelectorAll(selector)].filter((each) => !each.hidden && each.getClientRects().length);
  const current = root.querySelector(`${selector}[tabindex="0"]`);
  if (!current || current.hidden) {
    current?.setAttribute("tabindex", "-1");
    [...root.querySelectorAll(selector)].find((each) => !each.hidden)?.setAttribute("tabindex", "0");
  }
  if (root.dataset.roves) return;
  root.dataset.roves = "yes";
  const go = (to) => {
    root.querySelector(`${selector}[tabindex="0"]`)?.setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
    to.focus();
  };
  root.addEventListener("focusin", (event) => {
    const to = event.target.closest(selector);
    if (to && to.getAttribute("tabindex") !== "0") go(to);
  });
  root.addEventListener("keydown", (event) => {
    const from = event.target.closest(selector);
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!from || (!way && event.key !== "Home" && event.key !== "End")) return;
    event.preventDefault();
    const list = all();
    if (!way) { go(event.key === "Home" ? list[0] : list.at(-1)); return; }
    const here = centre(from);
    const [x, y] = way, ahead = list.filter((each) => each !== from).map((each) => {
      const there = centre(each), along = (there[0] - here[0]) * x + (there[1] - here[1]) * y;
      return [along, Math.abs((there[0] - here[0]) * y) + Math.abs((there[1] - here[1]) * x), each];
    }).filter(([along]) => along > 4);
    const best = ahead.sort((a, b) => a[0] + 4 * a[1] - b[0] - 4 * b[1])[0];
    if (best) go(best[2]);
  });
}

function centre(each) {
  const box = each.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

export function begin() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=range]), select, textarea") || document.querySelector("dialog[open]")) return;
    const found = keys.get(event.key);
    if (!found || (event.key.length === 1 && !areUsed())) return;
    event.preventDefault();
    found[1]();
  });
  $("help").addEventListener("click", help);
  bind("?", "this list", help);
  $("use-keys").addEventListener("change", () => localStorage.setItem("keys", $("use-keys").checked ? "on" : "off"));
}

function help() {
  $("use-keys").checked = areUsed();
  const rows = [...keys, ["arrows", ["move between agents"]], ["Enter", ["open the agent"]]];
  $("help-keys").replaceChildren(...rows.map(([key, [label]]) => element("tr", {}, element("th", { scope: "row" }, element("kbd", {}, key)), element("td", {}, label))));
  $("help-box").showModal();
}
