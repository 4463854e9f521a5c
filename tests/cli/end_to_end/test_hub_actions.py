"""Hub actions: restart, stop and silence from the page, their authorisation, their records and refusals."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rig.fleet import Rig, free_ports

FLEET = """
fleet: toy
hub: {{port: {port}, hosts: [hub.example]}}
defaults: {{ready: {{probe: notify}}}}
agents:
  Root: {{run: speaker.py}}
  Leaf: {{run: speaker.py, group: far, needs: [{{agent: Root, on_death: restart}}]}}
"""


class Fleet:
    """One running fleet, asked as any program on this machine may ask it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.port = urlsplit(rig.hub()).port
        self.token = rig.argosy("hub", "--token").stdout.strip()

    def ask(
        self, path: str, body: Any = None, method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Return the code and the JSON of an answer."""
        known = {"authorization": f"Bearer {self.token}"} if method == "GET" else {}
        said = known | {name.replace("_", "-"): value for name, value in headers.items()}
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, path, None if body is None else json.dumps(body), said)
            answer = link.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            link.close()

    def act(self, do: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Ask for an action as the page does."""
        return self.ask(
            f"/api/actions/{do}",
            body,
            authorization=f"Bearer {self.token}",
            content_type="application/json",
            origin=f"http://127.0.0.1:{self.port}",
            sec_fetch_site="same-origin",
        )

    def windows(self) -> list[dict[str, Any]]:
        """Return the quiet windows that somebody asked for; a restart's own may be open a moment longer."""
        listed: list[dict[str, Any]] = self.ask("/api/alerts", method="GET")[1]["silences"]
        return [each for each in listed if each["by"] != "argosy"]

    def records(self) -> list[dict[str, Any]]:
        """Return the records of actions, oldest first."""
        events: list[dict[str, Any]] = self.ask("/api/events?kind=action", method="GET")[1]["events"]
        return events[::-1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    rig = Rig(tmp_path_factory.mktemp("actions"), runtime)
    (port,) = free_ports(1)
    rig.write(FLEET.format(port=port))
    rig.env["ARGOSY_HUB"] = "on"
    rig.json("up", "-d")
    yield Fleet(rig)
    rig.close()
    shutil.rmtree(runtime)


def code_of(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    """Return the code and the name of a refusal."""
    status, body = answer
    assert next(iter(body)) == "argosy"
    return status, body["errors"][0]["code"]


def test_restart_action_restarts_agent_with_dependents_and_is_recorded(toy: Fleet) -> None:
    before = toy.rig.pid("Root"), toy.rig.pid("Leaf")
    status, done = toy.act("restart", agents=["Root"])
    assert (status, done["restarted"], done["not_ready"]) == (200, ["Leaf", "Root"], {})
    assert toy.rig.pid("Root") != before[0]
    assert toy.rig.pid("Leaf") != before[1]
    records = toy.records()[-2:]
    assert [(each["action"], each["agent"], each["outcome"]) for each in records] == [
        ("restart", "Root", "started"),
        ("restart", "Root", "done"),
    ]
    assert {each["by"] for each in records} == {"127.0.0.1"}


def test_stop_action_stops_agent_and_restart_action_starts_it_again(toy: Fleet) -> None:
    assert toy.act("stop", agents=["Leaf"])[1]["stopped"] == ["Leaf"]
    assert toy.rig.agents()["Leaf"]["state"] == "exited"
    assert toy.act("restart", agents=["Leaf"])[1]["restarted"] == ["Leaf"]


def test_silence_action_opens_silence_and_unsilence_ends_it(toy: Fleet) -> None:
    status, done = toy.act("silence", agents=["Root"], minutes=5)
    assert status == 200
    (window,) = toy.windows()
    assert (window["agents"], window["by"]) == (["Leaf", "Root"], "127.0.0.1")
    assert window["until"] == pytest.approx(done["until"])
    assert toy.act("unsilence", agents=["Root"])[1]["was_silenced"] is True
    assert toy.windows() == []
    assert toy.act("silence", groups=["far"])[0] == 200
    (window,) = toy.windows()
    assert (window["agents"], window["target"]["groups"]) == (["Leaf"], ["far"])
    assert toy.act("unsilence", **window["target"])[1]["was_silenced"] is True
    assert [each["action"] for each in toy.records()[-4:]] == ["silence", "unsilence"] * 2


def test_hub_rejects_forged_action_with_specific_error_code(toy: Fleet) -> None:
    path, body = "/api/actions/stop", {"agents": ["Root"]}
    before = toy.rig.pid("Root"), len(toy.records())
    right = {"authorization": f"Bearer {toy.token}", "content_type": "application/json"}
    attacks = {
        (405, "wrong-method"): {"method": "GET", **right},
        (401, "no-token"): {"content_type": "application/json"},
        (401, "wrong-token"): {**right, "authorization": "Bearer guessed"},
        (403, "foreign-origin"): {**right, "origin": "http://evil.example"},
        (415, "not-json"): {**right, "content_type": "text/plain"},
        (421, "foreign-host"): {**right, "host": f"evil.example:{toy.port}"},
    }
    for expected, attack in attacks.items():
        assert code_of(toy.ask(path, body, **attack)) == expected
    assert code_of(toy.ask(path, body, **right, sec_fetch_site="cross-site")) == (403, "foreign-origin")
    assert (toy.rig.pid("Root"), len(toy.records())) == before


def test_hub_rejects_foreign_host_header_and_accepts_declared_host(toy: Fleet) -> None:
    for path in ("/", "/api/fleet", "/metrics", "/events", "/api/agents/Root/log"):
        assert code_of(toy.ask(path, method="GET", host="evil.example")) == (421, "foreign-host")
    assert toy.ask("/api/fleet", method="GET", host="hub.example")[0] == 200


def test_hub_refuses_invalid_action_with_error_code(toy: Fleet) -> None:
    assert code_of(toy.act("restart", agents=["Rot"])) == (422, "unknown-agent")
    assert "Root" in toy.act("restart", agents=["Rot"])[1]["errors"][0]["hint"]
    assert code_of(toy.act("stop")) == (422, "no-agents")
    assert code_of(toy.act("stop", agents=["Root"], groups=["far"])) == (422, "no-agents")
    assert code_of(toy.act("silence", groups=["fat"])) == (422, "unknown-group")
    assert code_of(toy.act("silence", machines=["pc9"])) == (422, "unknown-machine")
    assert code_of(toy.act("silence", minutes=-1)) == (400, "bad-action-request")
    assert code_of(toy.act("silence", agents=["Root"], why="x")) == (400, "bad-action-request")
    assert code_of(toy.act("silence", agents=["x" * 70_000])) == (413, "too-long")
    assert code_of(toy.act("erase", agents=["Root"])) == (404, "not-found")


def test_hub_responses_allow_no_foreign_origin(toy: Fleet) -> None:
    link = http.client.HTTPConnection("127.0.0.1", toy.port, timeout=30)
    for path, method in (
        ("/", "GET"),
        ("/api/fleet", "GET"),
        ("/api/actions/stop", "OPTIONS"),
        ("/no", "GET"),
    ):
        link.request(method, path, headers={"Origin": "http://evil.example"})
        answer = link.getresponse()
        answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        assert not [name for name in headers if name.startswith("access-control-")]
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "set-cookie" not in headers
    link.close()


def test_page_has_no_inline_code_and_no_external_resources(toy: Fleet) -> None:
    link = http.client.HTTPConnection("127.0.0.1", toy.port, timeout=30)
    link.request("GET", f"/?token={toy.token}")
    answer = link.getresponse()
    answer.read()
    cookie = answer.headers["set-cookie"].partition(";")[0]
    for path, sign in (("/", "page/page.js"), ("/login", "argosy hub --open")):
        link.request("GET", path, headers={"cookie": cookie})
        text = link.getresponse().read().decode()
        assert sign in text
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text
        assert "http" not in text.replace("http-equiv", "").replace('xmlns="http', "")
    link.close()


def test_hub_api_returns_starts_snapshots_marks_and_agent_log(toy: Fleet) -> None:
    toy.rig.until(lambda: bool(toy.ask("/api/starts", method="GET")[1]["starts"]))
    (start, *_) = toy.ask("/api/starts", method="GET")[1]["starts"]
    assert {bar["agent"] for bar in start["bars"]} == {"Root", "Leaf"}
    assert start["critical_path"] == ["Root", "Leaf"]
    within = int(1000 * (start["at"] + start["seconds"])) + 50
    toy.rig.until(lambda: len(toy.ask(f"/api/snapshot?time={within}", method="GET")[1]["agents"]) == 2)
    then = toy.ask(f"/api/snapshot?time={within}", method="GET")[1]["agents"]
    assert {each["agent"]: each["state"] for each in then} == {"Root": "ready", "Leaf": "ready"}
    before = int(1000 * start["at"]) - 1
    assert toy.ask(f"/api/snapshot?time={before}", method="GET")[1]["agents"] == []
    assert "up Root" in toy.ask("/api/agents/Root/log", method="GET")[1]["lines"]
    marks = toy.ask("/api/marks", method="GET")[1]
    assert marks["first"] <= start["at"] <= marks["now"]
    assert "apply" in {each["kind"] for each in marks["marks"]}


def test_renew_token_invalidates_old_token(toy: Fleet) -> None:
    before, toy.token = toy.token, toy.rig.json("hub", "--renew-token")["token"]
    assert toy.act("silence", minutes=1)[0] == toy.act("unsilence")[0] == 200
    right, toy.token = toy.token, before
    assert code_of(toy.act("silence", minutes=1)) == (401, "wrong-token")
    toy.token = right
    said = toy.rig.argosy("hub", "--token")
    assert said.stdout.strip() == right
    assert f"/#token={right}" in said.stderr
