// The login page: sends the token of the link or the form to the hub, and opens the page.
const $ = (id) => document.getElementById(id);

async function login(token, view) {
  const answer = await fetch("api/login", { method: "POST", headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) {
    $("error").textContent = (await answer.json()).errors[0].message;
    return;
  }
  sessionStorage.setItem("token", token);
  location.replace(`./${view}`);
}

const found = /^#token=(.+)$/.exec(location.hash);
$("login-form").addEventListener("submit", (event) => { event.preventDefault(); login($("token").value.trim(), "#/tiles"); });
if (found) {
  history.replaceState(null, "", "login"); // keeps the token out of the address bar and the history
  login(found[1], "#/tiles");
} else if (sessionStorage.getItem("token")) login(sessionStorage.getItem("token"), location.hash);
