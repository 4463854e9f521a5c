"""Alerts of a running fleet: sent once, in order, also after a receiver's outage, and never for planned
work.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from rig.fleet import free_ports, is_alive
from rig.receiver import Receiver

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = """
fleet: toy
hub: {{port: {page}, alerts: {{webhook: "http://127.0.0.1:{hook}/", after: 500ms, clear: 500ms}}}}
defaults: {{ready: {{probe: notify}}, restart: never}}
agents:
  Root: {{run: speaker.py}}
  Leaf: {{run: speaker.py, needs: [{{agent: Root, on_death: degrade}}]}}
"""

RECOVERING = """
fleet: toy
hub:
  port: {page}
  alerts: {{after: 200ms, clear: 200ms}}
  recovery:
    - {{do: run, run: [./note.sh], agents: [Side]}}
    - {{do: restart-dependents, times: 1, pause: 500ms}}
defaults: {{ready: {{probe: notify}}, restart: never}}
agents:
  Root: {{run: speaker.py}}
  Leaf: {{run: speaker.py, needs: [{{agent: Root, on_death: degrade}}]}}
  Side: {{run: speaker.py}}
"""

NOTE = """#!/bin/sh
cat > told.json
echo "freed for $ARGOSY_AGENT"
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.open()
    yield made
    made.close()


@pytest.fixture
def toy(rig: Rig, receiver: Receiver) -> Iterator[Rig]:
    (page,) = free_ports(1)
    rig.write(FLEET.format(page=page, hook=receiver.port))
    rig.env["ARGOSY_HUB"] = "on"
    rig.env["PAGE"] = str(page)
    rig.json("up", "-d")
    yield rig
    rig.argosy("down")


def _get(rig: Rig, path: str) -> str:
    """Return what the hub answers; one that is being started again is waited for."""
    found = []
    headers = {"authorization": f"Bearer {rig.token()}"}
    request = urllib.request.Request(f"http://127.0.0.1:{rig.env['PAGE']}{path}", headers=headers)

    def is_there() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found.append(answer.read().decode())
        except OSError:
            return False
        return True

    rig.until(is_there, 30)
    return str(found[-1])


def _agent(rig: Rig, name: str) -> dict[str, Any]:
    """Return an agent as the hub knows it; `argosy status` takes a process each time."""
    agents: list[dict[str, Any]] = json.loads(_get(rig, "/api/fleet"))["agents"]
    return next((each for each in agents if each["agent"] == name), {})


def _kill(rig: Rig, name: str) -> None:
    """Kill an agent that the hub knows to be ready."""
    rig.until(lambda: _agent(rig, name).get("state") == "ready")
    os.kill(_agent(rig, name)["pid"], signal.SIGKILL)


def _kill_hub(rig: Rig) -> None:
    pid = json.loads((next((rig.folder / "state" / "argosy").iterdir()) / "hub.lock").read_bytes())["pid"]
    os.kill(pid, signal.SIGKILL)
    rig.until(lambda: not is_alive(pid))


def test_hub_raises_one_alert_with_dependents_for_dead_agent_and_clears_it(
    toy: Rig, receiver: Receiver
) -> None:
    _kill(toy, "Root")
    toy.until(lambda: bool(receiver.taken))
    (raised,) = receiver.taken
    assert (raised["kind"], raised["subject"], raised["dependents"]) == ("raised", "Root", ["Leaf"])
    assert (raised["fleet"], raised["machine"]) == ("toy", "")
    assert [each["subject"] for each in json.loads(_get(toy, "/api/alerts"))["active"]] == ["Root"]
    toy.json("up", "-d")
    toy.until(lambda: len(receiver.said()) == 2)
    assert receiver.said() == [("raised", "Root"), ("cleared", "Root")]
    assert json.loads(_get(toy, "/api/alerts"))["active"] == []


def test_hub_delivers_alert_after_receiver_and_hub_outage(toy: Rig, receiver: Receiver) -> None:
    receiver.close()
    _kill(toy, "Root")
    toy.until(lambda: '"waiting":1' in _get(toy, "/api/alerts"))
    _kill_hub(toy)
    receiver.open()
    toy.until(lambda: len(receiver.taken) >= 1, 30)
    assert receiver.said()[0] == ("raised", "Root")
    assert len(set(receiver.keys)) == len(receiver.keys)


def test_requested_restart_raises_no_alert(toy: Rig, receiver: Receiver) -> None:
    toy.json("restart", "Root", "Leaf")
    os.kill(toy.pid("Leaf"), signal.SIGKILL)  # the hub may still know the process before
    toy.until(lambda: bool(receiver.taken))
    assert receiver.said() == [("raised", "Leaf")]


@pytest.fixture
def recovering(rig: Rig) -> Iterator[Rig]:
    (page,) = free_ports(1)
    rig.write(RECOVERING.format(page=page))
    rig.write(NOTE, "note.sh").chmod(0o755)
    rig.env["ARGOSY_HUB"] = "on"
    rig.env["PAGE"] = str(page)
    rig.json("up", "-d")
    yield rig
    rig.argosy("down")


def _recoveries(rig: Rig, agent: str) -> list[tuple[str, int]]:
    events = json.loads(_get(rig, "/api/events?kind=recovery"))["events"]
    return [(each["outcome"], each["attempt"]) for each in reversed(events) if each["agent"] == agent]


def test_hub_runs_configured_recovery_within_budget_and_records_it(recovering: Rig) -> None:
    recovering.until(lambda: _agent(recovering, "Leaf").get("state") == "ready")
    leaf = _agent(recovering, "Leaf")["pid"]
    _kill(recovering, "Root")
    recovering.until(lambda: _recoveries(recovering, "Root")[-1:] == [("done", 1)], 30)
    recovering.until(lambda: _agent(recovering, "Leaf")["pid"] != leaf)
    recovering.until(lambda: json.loads(_get(recovering, "/api/alerts"))["active"] == [])
    _kill(recovering, "Root")
    recovering.until(lambda: _recoveries(recovering, "Root")[-1:] == [("exhausted", 1)], 30)
    assert _agent(recovering, "Root")["state"] == "exited"


@pytest.mark.soak
def test_restarted_hub_remembers_recovery_attempts(recovering: Rig) -> None:
    _kill(recovering, "Root")
    recovering.until(lambda: _recoveries(recovering, "Root")[-1:] == [("done", 1)], 30)
    recovering.until(lambda: json.loads(_get(recovering, "/api/alerts"))["active"] == [])
    _kill_hub(recovering)
    _kill(recovering, "Root")
    recovering.until(lambda: _recoveries(recovering, "Root")[-1:] == [("exhausted", 1)], 30)
    assert _recoveries(recovering, "Root") == [("started", 1), ("done", 1), ("exhausted", 1)]


def test_recovery_command_receives_alert_and_hub_records_its_output(recovering: Rig) -> None:
    _kill(recovering, "Side")
    recovering.until(lambda: _recoveries(recovering, "Side")[-1:] == [("done", 1)], 30)
    told = json.loads((recovering.folder / "told.json").read_text())
    assert (told["subject"], told["category"]) == ("Side", "unhealthy")
    assert "freed for Side" in _get(recovering, "/api/events?kind=recovery")


def test_restarted_hub_does_not_resend_delivered_alert(toy: Rig, receiver: Receiver) -> None:
    _kill(toy, "Root")
    toy.until(lambda: len(receiver.taken) == 1)
    _kill_hub(toy)
    toy.until(lambda: '"subject":"Root"' in _get(toy, "/api/alerts"))
    toy.json("up", "-d")
    toy.until(lambda: len(receiver.said()) == 2, 30)
    assert receiver.said() == [("raised", "Root"), ("cleared", "Root")]


@pytest.mark.soak
def test_hub_uses_alert_settings_of_newly_applied_fleet_file(toy: Rig, receiver: Receiver) -> None:
    text = (toy.folder / "fleet.yaml").read_text()
    toy.write(text.replace("after: 500ms", "after: 1h") + "  Side: {run: speaker.py}\n")
    toy.json("up", "-d")
    toy.until(lambda: "Side" in json.loads(_get(toy, "/api/declared"))["declared"])
    _kill(toy, "Root")
    toy.write(text + "  Side: {run: speaker.py, args: [x]}\n")
    toy.until(lambda: _get(toy, "/api/fleet").count('"state":"ready"') == 1)
    assert receiver.taken == []
    toy.json("up", "--only", "Side", "-d")
    toy.until(lambda: bool(receiver.taken), 30)
    assert receiver.said() == [("raised", "Root")]


SLOW = """
import time
from pathlib import Path
time.sleep(float(Path("takes").read_text()))
exec(open("speaker.py").read())
"""


@pytest.mark.soak
def test_hub_alerts_on_start_slower_than_earlier_starts(rig: Rig, receiver: Receiver) -> None:
    (page,) = free_ports(1)
    rig.write(FLEET.format(page=page, hook=receiver.port) + "  Slow: {run: slow.py}\n")
    rig.write(SLOW, "slow.py")
    rig.env |= {"ARGOSY_HUB": "on", "PAGE": str(page)}
    rig.write("0.05", "takes")
    rig.json("up", "-d")
    for _ in range(6):
        rig.json("restart", "Slow")
    rig.write("4", "takes")
    rig.json("restart", "Slow")
    rig.until(lambda: len(receiver.said()) == 2, 30)
    assert receiver.said() == [("raised", "Slow"), ("cleared", "Slow")]
    (raised, _) = receiver.taken
    assert raised["category"] == "slow-start"
    assert "Slow was ready after 4." in raised["text"]
    assert "6 earlier starts took" in raised["text"]
