"""Silent agents: a frozen agent without a watchdog is reported as degraded until it continues."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from rig.fleet import Rig, free_ports

AGENTS = """
from argosy.agent import Agent

class Speaker(Agent):
    pass
"""

FLEET = """
fleet: toy
hub: {{port: {0}, alerts: {{after: 200ms, clear: 200ms}}}}
agents:
  A: {{run: "agents:Speaker", port: {1}}}
  Leaf: {{run: "agents:Speaker", port: {2}, needs: [{{agent: A, on_death: degrade}}]}}
  X: {{run: "agents:Speaker", port: {3}, cell: duo}}
  Y: {{run: "agents:Speaker", port: {4}, cell: duo}}
  Script: {{run: speaker.py, ready: {{probe: notify}}}}
"""


@pytest.fixture
def fleet(rig: Rig) -> Iterator[Rig]:
    rig.write(AGENTS, "agents.py")
    rig.write(FLEET.format(*free_ports(5)))
    rig.env["ARGOSY_HUB"] = "on"
    rig.json("up", "-d")
    rig.env["PAGE"] = rig.hub()
    yield rig
    rig.argosy("down")


def get(rig: Rig, path: str) -> str:
    """Return what the hub answers."""
    with urllib.request.urlopen(f"{rig.env['PAGE'].rstrip('/')}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def fetch_agents(rig: Rig) -> dict[str, Any]:
    """Return the agents as the page has them."""
    return {each["agent"]: each for each in json.loads(get(rig, "/api/fleet"))["agents"]}


def alerts(rig: Rig) -> list[str]:
    return sorted(each["subject"] for each in json.loads(get(rig, "/api/alerts"))["active"])


def samples(rig: Rig, agent: str) -> dict[str, float]:
    """Return the agent's samples of `/metrics`."""
    label = f'{{agent="{agent}",machine=""}} '
    lines = [line.partition(label) for line in get(rig, "/metrics").splitlines() if label in line]
    return {name: float(value) for name, _, value in lines}


def test_frozen_agent_is_degraded_in_status_hub_and_metrics_until_it_resumes(fleet: Rig) -> None:
    fleet.until(lambda: "argosy_agent_uptime" in samples(fleet, "A"))
    frozen = [fleet.pid(name) for name in ("A", "X", "Script")]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    fleet.until(lambda: alerts(fleet) == ["A", "X", "Y"])  # and none for Leaf, which runs on
    agents = fleet.agents()
    for name in ("A", "X", "Y"):
        told = agents[name]
        assert (told["state"], told["health"]) == ("degraded", "degraded")
        assert told["silent_s"] >= 8
        assert told["reason"] == f"silent for {told['silent_s']:.0f} s"
        assert told["pid"] in frozen, "nothing restarts it"
    assert (agents["Leaf"]["state"], agents["Leaf"]["silent_s"]) == ("ready", None)
    assert (agents["Script"]["state"], agents["Script"]["silent_s"]) == ("ready", None), "it never beat"
    text = fleet.argosy("status").stdout
    assert "silent for" in text
    assert "5 of 5 ready (3 degraded)" in text

    fleet.until(lambda: fetch_agents(fleet)["A"]["silent_since"] is not None)
    assert fetch_agents(fleet)["A"]["state"] == "degraded"
    fleet.until(lambda: "uptime" in json.loads(get(fleet, "/api/agents/A"))["agents"][0]["stale"])
    told = samples(fleet, "A")
    assert told["argosy_agent_up"] == 0
    assert told["argosy_agent_last_seen_timestamp_seconds"] >= fetch_agents(fleet)["A"]["since"] - 12
    assert "argosy_agent_uptime" not in told
    assert samples(fleet, "Leaf")["argosy_agent_uptime"] > 0

    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    fleet.until(lambda: all(each["state"] == "ready" for each in fleet.agents().values()))
    fleet.until(lambda: alerts(fleet) == [])
    fleet.until(lambda: samples(fleet, "A").get("argosy_agent_uptime", 0) > 0)
    assert samples(fleet, "A")["argosy_agent_up"] == 1
    assert {each["silent_since"] for each in fetch_agents(fleet).values()} == {None}
    assert all(each["restarts"] == 0 for each in fleet.agents().values())
