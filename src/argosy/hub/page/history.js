// The history scrubber: selects the past moment that the page shows.
import { $, clock, element, fetched, announce } from "./dom.js";
import { kindName } from "./events.js";
import { fleet, showMoment } from "./fleet.js";

let marks = [], firstS = 0, turn = 0;

export async function load() {
  const spanS = Number($("span").value), body = await fetched(`api/marks?from=${Math.round(Date.now() - spanS * 1000)}`);
  marks = body.marks;
  firstS = Math.max(body.first || body.now, body.now - spanS);
  const moment = $("moment");
  moment.min = Math.floor(firstS);
  moment.max = Math.ceil(body.now);
  moment.value = fleet.momentS ?? moment.max;
  const whole = Math.max(1, moment.max - moment.min);
  const seen = new Map(); // one mark for each half percent; an alert wins
  for (const each of marks) {
    const at = Math.round((200 * (each.time - moment.min)) / whole) / 2;
    if (at >= 0 && (!seen.has(at) || each.kind === "alert")) seen.set(at, each.kind);
  }
  $("marks").replaceChildren(...[...seen].map(([at, kind]) => {
    const made = element("i", { class: kind === "alert" || kind === "hub-unreachable" ? "bad" : "" });
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
  await new Promise((done) => setTimeout(done, isNow ? 0 : 60)); // no request while the slider still moves
  if (mine !== turn) return;
  if (isNow) { await load(); $("moment").value = $("moment").max; }
  await showMoment(isNow ? null : momentS);
  $("live").hidden = isNow;
}

export function step(way) {
  const at = fleet.momentS ?? Number($("moment").max);
  const found = way < 0 ? marks.findLast((each) => each.time < at - 0.5) : marks.find((each) => each.time > at + 0.5);
  if (!found) { move(null); return; }
  announce(`${clock(found.time)}, ${kindName(found.kind)} ${found.agent}`);
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
