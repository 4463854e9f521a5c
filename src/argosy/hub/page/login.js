// The way in: takes the token of the link, or of the form, shows it to the hub, and goes to the page.
const $ = (id) => document.getElementById(id);

async function enter(word, then) {
  const answer = await fetch("api/enter", { method: "POST", headers: { authorization: `Bearer ${word}` } });
  if (!answer.ok) {
    $("why").textContent = (await answer.json()).errors[0].message;
    return;
  }
  sessionStorage.setItem("token", word);
  location.replace(`./${then}`);
}

const found = /^#token=(.+)$/.exec(location.hash);
$("way-in").addEventListener("submit", (event) => { event.preventDefault(); enter($("word").value.trim(), "#/tiles"); });
if (found) {
  history.replaceState(null, "", "enter"); // it stays in no address bar and in no history
  enter(found[1], "#/tiles");
} else if (sessionStorage.getItem("token")) enter(sessionStorage.getItem("token"), location.hash);
