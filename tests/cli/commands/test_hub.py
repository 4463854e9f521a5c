"""The hub of a fleet: starts with it, observes all agents, outlives supervisors, and stops with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from rig.fleet import free_ports, is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = """
fleet: toy
hub: {{port: {port}}}
agents:
  Back: {{run: "agents:Back"}}
  Front: {{run: "agents:Back", needs: [Back]}}
  Script: {{run: speaker.py, ready: {{probe: notify}}}}
"""

AGENTS = """
from argosy.agent import Agent, request

class Back(Agent):
    @request
    async def double(self, number: int) -> int:
        return 2 * number
"""


@pytest.fixture
def toy(rig: Rig) -> Iterator[Rig]:
    (port,) = free_ports(1)
    rig.write(FLEET.format(port=port))
    rig.write(AGENTS, "agents.py")
    rig.env["ARGOSY_HUB"] = "on"
    yield rig
    rig.argosy("down")


def get(address: str, token: str = "") -> str:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def samples(rig: Rig, name: str) -> dict[str, float]:
    """Return a metric by agent, read by a parser that is not ours."""
    families = text_string_to_metric_families(get(rig.hub() + "/metrics"))
    return {
        sample.labels["agent"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def hub_pid(rig: Rig) -> int:
    pid: int = json.loads((rig.state() / "hub.lock").read_bytes())["pid"]
    return pid


def test_hub_starts_with_fleet_observes_agents_and_stops_with_it(toy: Rig) -> None:
    toy.json("up", "-d")
    assert get(toy.hub() + "/healthz") == "ok"
    toy.until(lambda: samples(toy, "argosy_agent_up") == {"Back": 1, "Front": 1, "Script": 1})
    assert toy.json("call", "Back", "double", "number=4")["reply"] == 8
    toy.until(lambda: samples(toy, "argosy_agent_handled_total").get("Back") == 1)
    fleet = json.loads(get(toy.hub() + "/api/fleet"))
    assert {each["agent"]: each["state"] for each in fleet["agents"]} == dict.fromkeys(
        ("Back", "Front", "Script"), "ready"
    )
    series = json.loads(get(toy.hub() + "/api/series?agent=Back&metric=handled"))
    assert series["values"][-1] == 1
    toy.json("down")
    assert toy.leftovers() == []


def test_hub_streams_and_stores_event_of_killed_agent(toy: Rig) -> None:
    toy.json("up", "-d")
    with urllib.request.urlopen(toy.hub() + "/events", timeout=20) as stream:
        os.kill(toy.pid("Script"), signal.SIGKILL)
        told = _wait_for_event(stream, "Script", "restart-pending")
        assert {"agent", "machine", "state", "since"} <= set(told)
    # The supervisor may tell it before the diary has been read.
    path, token = "/api/events?agent=Script", toy.token()
    toy.until(lambda: '"state":"restart-pending"' in get(toy.hub() + path, token))


def _wait_for_event(stream: Any, agent: str, state: str) -> dict[str, Any]:
    for line in stream:
        if line.startswith(b"data: "):
            told: dict[str, Any] = json.loads(line[6:])
            if (told["agent"], told["state"]) == (agent, state):
                return told
    raise AssertionError("the stream ended")


def test_hub_restarts_after_crash_and_next_supervisor_keeps_it(toy: Rig) -> None:
    toy.json("up", "-d")
    toy.hub()
    first = hub_pid(toy)
    os.kill(first, signal.SIGKILL)
    toy.until(lambda: hub_pid(toy) != first and bool(toy.json("status")["hub"]))
    second = hub_pid(toy)
    toy.kill_supervisor()
    assert get(toy.hub() + "/healthz") == "ok"
    toy.json("up", "-d")
    assert hub_pid(toy) == second
    toy.json("down")
    assert toy.leftovers() == []


def test_up_replaces_hub_with_deleted_state_dir(toy: Rig) -> None:
    toy.json("up", "-d")
    toy.hub()
    lost = hub_pid(toy)
    toy.kill_supervisor()
    shutil.rmtree(toy.state())
    toy.json("up", "-d")
    toy.until(lambda: not is_alive(lost))
    toy.hub()
    assert hub_pid(toy) != lost
    toy.json("down")
    assert toy.leftovers() == []


@pytest.mark.parametrize("is_deleted", [True, False])
def test_down_stops_hub_without_supervisor(toy: Rig, is_deleted: bool) -> None:
    toy.write("fleet: toy\nagents:\n  Script: {run: speaker.py, ready: {probe: notify}}\n")
    toy.json("up", "-d")
    toy.hub()
    alone, agent = hub_pid(toy), toy.pid("Script")
    toy.kill_supervisor()
    os.kill(agent, signal.SIGKILL)
    toy.until(lambda: not is_alive(agent))
    if is_deleted:
        shutil.rmtree(toy.state())
    toy.json("down")
    assert not is_alive(alone)


def test_restarted_hub_stores_each_event_once(toy: Rig) -> None:
    toy.json("up", "-d")
    address = toy.hub()
    kept, token = "/api/events?most=10000", toy.token()
    toy.until(lambda: "apply-summary" in get(address + kept, token))
    before = hub_pid(toy)
    os.kill(before, signal.SIGKILL)
    toy.until(lambda: hub_pid(toy) != before and bool(toy.json("status")["hub"]))
    toy.json("restart", "Back")
    toy.until(
        lambda: '"kind":"spawn-requested"' in get(toy.hub() + kept, token) and len(_spawn_requests(toy)) == 4
    )
    events = json.loads(get(toy.hub() + kept, token))["events"]
    keys = [(each["time"], each["kind"], each["agent"], each.get("state")) for each in events]
    assert len(set(keys)) == len(keys)


def _spawn_requests(rig: Rig) -> list[dict[str, Any]]:
    events = json.loads(get(rig.hub() + "/api/events?most=10000", rig.token()))["events"]
    return [each for each in events if each["kind"] == "spawn-requested"]


def test_hub_command_refuses_second_hub_and_fleet_without_start(toy: Rig) -> None:
    done = toy.argosy("hub")
    assert done.returncode == 3
    assert "the fleet has not been started on this machine" in done.stderr
    assert "argosy_agent_up" in toy.argosy("hub", "--grafana").stdout
    toy.json("up", "-d")
    toy.hub()
    again = toy.argosy("hub")
    assert again.returncode == 1
    assert f"the fleet's hub is already running (pid {hub_pid(toy)}" in again.stderr


def test_no_hub_option_disables_hub_and_hub_avoids_used_port(toy: Rig) -> None:
    toy.json("up", "-d", "--no-hub")
    assert toy.json("status")["hub"] is None
    toy.json("down")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        toy.write(FLEET.format(port=port))
        toy.json("up", "-d")
        assert toy.hub() != f"http://127.0.0.1:{port}"
        assert get(toy.hub() + "/healthz") == "ok"


def test_two_fleets_on_one_host_have_separate_hubs(toy: Rig) -> None:
    toy.json("up", "-d")
    text = (toy.folder / "fleet.yaml").read_text()
    toy.write(text.replace("fleet: toy", "fleet: other"), "other.yaml")
    try:
        toy.json("up", "other.yaml", "-d")
        other = toy.hub("other.yaml")
        assert other != toy.hub()
        assert json.loads(get(other + "/api/declared"))["fleet"] == "other"
        assert get(toy.hub() + "/healthz") == get(other + "/healthz") == "ok"
    finally:
        toy.json("down", "other.yaml")
