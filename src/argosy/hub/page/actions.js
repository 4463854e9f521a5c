// Restart, stop and silence: asks for confirmation and the token, and shows the outcome.
import { $, element, announce } from "./dom.js";
import { dependents, fleet } from "./fleet.js";

const ASK = {
  restart: (names) => [`Restart ${names.join(", ")}?`, dependentsText(names)],
  stop: (names) => [`Stop ${names.join(", ")}?`, dependentsText(names)],
};
const after = new Set();
export const onAction = (callback) => after.add(callback);

function dependentsText(names) {
  const found = [...new Set(names.flatMap((name) => dependents(name, true)))];
  return found.length ? `${found.length} ${found.length === 1 ? "agent needs" : "agents need"} it, directly or indirectly: ${found.slice(0, 12).join(", ")}${found.length > 12 ? " …" : ""}` : "No agent needs it.";
}

export function storeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem("token", found[1]);
  history.replaceState(null, "", "#/tiles"); // keeps the token out of the address bar and the history
}

function ask(box) {
  box.returnValue = "";
  box.showModal();
  return new Promise((done) => box.addEventListener("close", () => done(box.returnValue), { once: true }));
}

async function askToken(reason) {
  if (reason) $("token-why").textContent = `${reason}. argosy hub --token prints it on the hub's machine.`;
  $("token").value = "";
  const token = (await ask($("token-box"))) === "use" ? $("token").value.trim() : "";
  if (token) sessionStorage.setItem("token", token);
  return token;
}

async function confirm(action, names) {
  if (!ASK[action]) return true;
  [$("confirm-title").textContent, $("confirm-reason").textContent] = ASK[action](names);
  $("confirm-yes").textContent = action === "stop" ? "Stop" : "Restart";
  return (await ask($("confirm-box"))) === "yes";
}

// target: what to silence or unsilence, as in /api/alerts; by default the agents `names`
export async function act(action, names, minutes = 10, target = { agents: names }) {
  if (!(await confirm(action, names))) return;
  let token = sessionStorage.getItem("token") || (await askToken(""));
  while (token) {
    report(`${action} ${names.join(", ") || "everything"}: in progress`);
    const answer = await fetch(`api/actions/${action}`, {
      method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify(action === "silence" ? { ...target, minutes } : target),
    }).catch((error) => ({ ok: false, status: 0, json: async () => ({ errors: [{ message: error.message }] }) }));
    const body = await answer.json();
    if (answer.status === 401) {
      sessionStorage.removeItem("token");
      token = await askToken(body.errors[0].message);
      continue;
    }
    report(answer.ok ? outcome(action, names, body) : `${action}: ${body.errors.map((each) => each.message).join("; ")}`, !answer.ok);
    for (const callback of after) callback();
    return;
  }
  report(`${action}: not done, the token is missing`, true);
}

function outcome(action, names, body) {
  if (action === "restart") {
    const lost = Object.entries(body.not_ready).map(([name, why]) => `${name} is not ready: ${why}`);
    return [`${body.restarted.length} restarted in ${body.seconds.toFixed(2)} s`, ...lost].join("; ");
  }
  if (action === "stop") return `${body.stopped.length} stopped in ${body.seconds.toFixed(2)} s${body.killed.length ? `, ${body.killed.length} killed` : ""}`;
  return action === "silence" ? `${names.join(", ") || "everything"} is silenced until ${new Date(body.until * 1000).toLocaleTimeString([], { hour12: false })}` : "the silence has ended";
}

let hiding = 0;
function report(text, isBad = false) {
  announce(text);
  const note = element("p", { id: "outcome", class: isBad ? "bad" : "" }, `${isBad ? "■" : "●"} ${text}`);
  $("outcome")?.remove();
  document.body.append(note);
  clearTimeout(hiding);
  hiding = setTimeout(() => note.remove(), 12000);
}

export const canAct = () => fleet.actions !== "never" && fleet.momentS === null;
