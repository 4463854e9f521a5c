// The history scrubber: the page shows the fleet as it was at the moment that is chosen.
import { $, clock, element, fetched, say } from "./dom.js";
import { words } from "./events.js";
import { fleet, goTo } from "./fleet.js";

let marks = [], firstS = 0, turn = 0;

export async function load() {
  const spanS = Number($("span").value), told = await fetched(`api/marks?from=${Math.round(Date.now() - spanS * 1000)}`);
  marks = told.marks;
  firstS = Math.max(told.first || told.now, told.now - spanS);
  const moment = $("moment");
  moment.min = Math.floor(firstS);
  moment.max = Math.ceil(told.now);
  moment.value = fleet.momentS ?? moment.max;
  const whole = Math.max(1, moment.max - moment.min);
  const seen = new Map(); // one line for each half percent, the most important
  for (const each of marks) {
    const at = Math.round((200 * (each.time - moment.min)) / whole) / 2;
    if (at >= 0 && (!seen.has(at) || each.kind === "alert")) seen.set(at, each.kind);
  }
  $("marks").replaceChildren(...[...seen].map(([at, kind]) => {
    const made = element("i", { class: kind === "alert" || kind === "blind" ? "bad" : "" });
    made.style.left = `${at}%`;
    return made;
  }));
}

export async function move(momentS) {
  const mine = ++turn;
  const isNow = momentS === null || momentS >= Number($("moment").max);
  if (!isNow) $("moment").value = momentS;
  $("when").textContent = isNow ? "now" : clock(momentS);
  $("moment").setAttribute("aria-valuetext", $("when").textContent);
  await new Promise((done) => setTimeout(done, isNow ? 0 : 60)); // a hand that still moves asks for nothing
  if (mine !== turn) return;
  if (isNow) { await load(); $("moment").value = $("moment").max; }
  await goTo(isNow ? null : momentS);
  $("live").hidden = isNow;
}

export function step(way) {
  const at = fleet.momentS ?? Number($("moment").max);
  const found = way < 0 ? marks.findLast((each) => each.time < at - 0.5) : marks.find((each) => each.time > at + 0.5);
  if (!found) { move(null); return; }
  say(`${clock(found.time)}, ${words(found.kind)} ${found.agent}`);
  move(found.time + 0.001);
}

export function begin() {
  $("moment").addEventListener("input", () => move(Number($("moment").value)));
  $("earlier").addEventListener("click", () => step(-1));
  $("later").addEventListener("click", () => step(1));
  $("live").addEventListener("click", () => move(null));
  $("span").addEventListener("change", load);
  setInterval(() => { if (!document.hidden && fleet.momentS === null) load(); }, 30000);
  return load();
}
