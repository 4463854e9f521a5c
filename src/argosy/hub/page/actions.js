// Restart, stop, quiet: with the token, after a question, and with what became of it.
import { $, element, say } from "./dom.js";
import { dependents, fleet } from "./fleet.js";

const ASK = {
  restart: (names) => [`Restart ${names.join(", ")}?`, around(names)],
  stop: (names) => [`Stop ${names.join(", ")}?`, around(names)],
};
const after = new Set();
export const onAct = (what) => after.add(what);

function around(names) {
  const found = [...new Set(names.flatMap((name) => dependents(name, true)))];
  return found.length ? `${found.length} ${found.length === 1 ? "agent needs" : "agents need"} it, also by way of others: ${found.slice(0, 12).join(", ")}${found.length > 12 ? " …" : ""}` : "No agent needs it.";
}

export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem("token", found[1]);
  history.replaceState(null, "", "#/tiles"); // it stays in no address bar and in no history
}

function answerOf(box) {
  box.returnValue = "";
  box.showModal();
  return new Promise((done) => box.addEventListener("close", () => done(box.returnValue), { once: true }));
}

async function token(why) {
  if (why) $("token-why").textContent = `${why}. argosy hub --token prints it on the hub's machine.`;
  $("token").value = "";
  const word = (await answerOf($("token-box"))) === "use" ? $("token").value.trim() : "";
  if (word) sessionStorage.setItem("token", word);
  return word;
}

async function isSure(action, names) {
  if (!ASK[action]) return true;
  [$("sure-title").textContent, $("sure-why").textContent] = ASK[action](names);
  $("sure-yes").textContent = action === "stop" ? "Stop" : "Restart";
  return (await answerOf($("sure-box"))) === "yes";
}

// asked: what quiet and loud are about where that is not agents alone, as /api/alerts has it
export async function act(action, names, minutes = 10, asked = { agents: names }) {
  if (!(await isSure(action, names))) return;
  let word = sessionStorage.getItem("token") || (await token(""));
  while (word) {
    tell(`${action} ${names.join(", ") || "everything"}: under way`);
    const answer = await fetch(`api/actions/${action}`, {
      method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${word}` },
      body: JSON.stringify(action === "quiet" ? { ...asked, minutes } : asked),
    }).catch((error) => ({ ok: false, status: 0, json: async () => ({ errors: [{ message: error.message }] }) }));
    const body = await answer.json();
    if (answer.status === 401) {
      sessionStorage.removeItem("token");
      word = await token(body.errors[0].message);
      continue;
    }
    tell(answer.ok ? outcome(action, names, body) : `${action}: ${body.errors.map((each) => each.message).join("; ")}`, !answer.ok);
    for (const what of after) what();
    return;
  }
  tell(`${action}: not done, for want of the token`, true);
}

function outcome(action, names, body) {
  if (action === "restart") {
    const lost = Object.entries(body.not_ready).map(([name, why]) => `${name} is not ready: ${why}`);
    return [`${body.restarted.length} restarted in ${body.seconds.toFixed(2)} s`, ...lost].join("; ");
  }
  if (action === "stop") return `${body.stopped.length} stopped in ${body.seconds.toFixed(2)} s${body.killed.length ? `, ${body.killed.length} killed` : ""}`;
  return action === "quiet" ? `${names.join(", ") || "everything"} is quiet until ${new Date(body.until * 1000).toLocaleTimeString([], { hour12: false })}` : "the quiet window is closed";
}

let going = 0;
function tell(text, isBad = false) {
  say(text);
  const note = element("p", { id: "outcome", class: isBad ? "bad" : "" }, `${isBad ? "■" : "●"} ${text}`);
  $("outcome")?.remove();
  document.body.append(note);
  clearTimeout(going);
  going = setTimeout(() => note.remove(), 12000);
}

export const canAct = () => fleet.actions !== "never" && fleet.momentS === null;
