"""`argosy call`, against agents of the library that run under the engine."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from argosy.cli.call import parse_arguments
from argosy.fault import InputError
from rig.fleet import free_ports

if TYPE_CHECKING:
    from .conftest import Rig

AGENTS = """
from argosy.agent import Agent, request

class Greeter(Agent):
    @request
    async def hello(self, name: str, times: int = 1) -> str:
        return " ".join([f"hello {name}"] * times)

class Relay(Agent):
    async def start(self) -> None:
        await self.peer("Greeter").call("hello", name="Relay")
    @request
    async def via(self, name: str) -> str:
        return await self.peer("Greeter").call("hello", name=name)
"""


@pytest.fixture
def fleet(rig: Rig) -> Rig:
    """A greeter, and a relay that needs it."""
    first, second = free_ports(2)
    rig.write(AGENTS, "greeting.py")
    rig.write(f"""
        fleet: toy
        agents:
          Greeter: {{run: "greeting:Greeter", port: {first}}}
          Relay: {{run: "greeting:Relay", port: {second}, needs: [Greeter]}}
        """)
    up = rig.json("up", "-d")
    assert sorted(up["ready"]) == ["Greeter", "Relay"]
    return rig


def test_a_reply_and_the_list_of_methods(fleet: Rig) -> None:
    called = fleet.json("call", "Relay", "via", "name=you")
    assert (called["argosy"], called["reply"]) == ("call/1", "hello you")
    assert fleet.argosy("call", "Greeter", "hello", "name=x", "times=2").stdout == "hello x hello x\n"
    assert "hello(name: str, times: int = 1) -> str" in fleet.argosy("call", "Greeter").stdout


def test_every_failure_has_a_name_and_the_agent_goes_on(fleet: Rig) -> None:
    for words, code in [
        (["Greeter", "hello", "nam=x"], "bad-argument"),
        (["Greeter", "hello", "name=x", "times=many"], "bad-argument"),
        (["Greeter", "hullo"], "unknown-method"),
    ]:
        assert fleet.json("call", *words, code=1)["error"]["code"] == code
    assert fleet.json("call", "Greeter", "hello", "name=x")["reply"] == "hello x"
    assert "`Greeter`" in fleet.argosy("call", "Greeterr", "hello").stderr
    assert fleet.argosy("call").returncode == 2


def test_a_hop_that_is_gone_is_named_at_the_caller(fleet: Rig) -> None:
    fleet.json("down", "--only", "Greeter")
    error = fleet.json("call", "Relay", "via", "name=x", "--timeout", "1", code=1)["error"]
    assert "Greeter" in error["message"] or "Relay" in error["message"]
    fleet.json("up", "-d")
    fleet.until(lambda: fleet.json("call", "Relay", "via", "name=x")["reply"] == "hello x")


def test_health_in_status_and_adoption_of_library_agents(fleet: Rig) -> None:
    assert {agent["health"] for agent in fleet.agents().values()} == {"ok"}
    before = {name: agent["pid"] for name, agent in fleet.agents().items()}
    fleet.kill_supervisor()
    up = fleet.json("up", "-d")
    assert sorted(up["adopted"]) == ["Greeter", "Relay"]
    assert {name: agent["pid"] for name, agent in fleet.agents().items()} == before
    os.kill(before["Greeter"], signal.SIGKILL)
    fleet.until(
        lambda: fleet.agents()["Greeter"]["state"] == "ready" and fleet.pid("Greeter") != before["Greeter"]
    )


def test_a_fleet_that_never_ran(rig: Rig) -> None:
    rig.write('fleet: toy\nagents:\n  A: {run: "m:A", port: 7001}\n')
    error = json.loads(rig.argosy("call", "A", "x", "--json").stdout)["errors"][0]
    assert error["code"] == "not-running"


def test_values_are_json_where_they_are_json() -> None:
    assert parse_arguments(["a=1", "b=x y", 'c=["q"]', "d=true", "e=", 'f="1"']) == {
        "a": 1,
        "b": "x y",
        "c": ["q"],
        "d": True,
        "e": "",
        "f": "1",
    }
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(InputError):
            parse_arguments(wrong)
