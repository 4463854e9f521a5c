"""`argosy call` against running agents: replies, lists of methods, errors, and the choice of protocol."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from argosy.cli.commands.call import parse_arguments
from argosy.fault import InputError
from rig.fleet import free_ports

if TYPE_CHECKING:
    from ..conftest import Rig

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


def test_call_prints_reply_and_lists_methods(fleet: Rig) -> None:
    called = fleet.json("call", "Relay", "via", "name=you")
    assert (called["argosy"], called["reply"]) == ("call/1", "hello you")
    assert fleet.argosy("call", "Greeter", "hello", "name=x", "times=2").stdout == "hello x hello x\n"
    assert "hello(name: str, times: int = 1) -> str" in fleet.argosy("call", "Greeter").stdout


def test_call_reports_error_code_and_agent_keeps_serving(fleet: Rig) -> None:
    for words, code in [
        (["Greeter", "hello", "nam=x"], "bad-argument"),
        (["Greeter", "hello", "name=x", "times=many"], "bad-argument"),
        (["Greeter", "hullo"], "unknown-method"),
    ]:
        assert fleet.json("call", *words, code=1)["error"]["code"] == code
    assert fleet.json("call", "Greeter", "hello", "name=x")["reply"] == "hello x"
    assert "`Greeter`" in fleet.argosy("call", "Greeterr", "hello").stderr
    assert fleet.argosy("call").returncode == 2


def test_call_error_names_stopped_agent_of_request_chain(fleet: Rig) -> None:
    fleet.json("down", "--only", "Greeter")
    error = fleet.json("call", "Relay", "via", "name=x", "--timeout", "1", code=1)["error"]
    assert "Greeter" in error["message"] or "Relay" in error["message"]
    fleet.json("up", "-d")
    fleet.until(lambda: fleet.json("call", "Relay", "via", "name=x")["reply"] == "hello x")


def test_library_agents_report_health_and_are_adopted_after_crash(fleet: Rig) -> None:
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


def test_call_of_fleet_without_start_reports_not_running(rig: Rig) -> None:
    rig.write('fleet: toy\nagents:\n  A: {run: "m:A", port: 7001}\n')
    error = json.loads(rig.argosy("call", "A", "x", "--json").stdout)["errors"][0]
    assert error["code"] == "not-running"


# Answers what it is sent; its health has a port of its own.
ECHO = """
import os, zmq
context = zmq.Context()
ports = os.environ["ARGOSY_PORT"], os.environ["HEALTH"]
sockets = [context.socket(zmq.REP) for _ in ports]
poller = zmq.Poller()
for socket, port in zip(sockets, ports):
    socket.bind("tcp://127.0.0.1:" + port)
    poller.register(socket, zmq.POLLIN)
while True:
    for socket, _ in poller.poll():
        asked = socket.recv_json()
        if asked["action"] == "health":
            socket.send_json({"status": "ok", "at": socket is sockets[1]})
        elif asked["action"] == "nothing":
            socket.send_json({"error": "nothing of the sort"})
        elif asked["action"] != "hang":
            socket.send_json({"asked": asked})
"""
SCRIPT_OF_THE_LIBRARY = """
from argosy.agent import Agent, request, run

class Library(Agent):
    @request
    async def double(self, number: int) -> int:
        return 2 * number

run(Library)
"""


@pytest.fixture
def mixed(rig: Rig) -> Rig:
    """What speaks plain JSON, HTTP, argosy's wire or nothing, and what does not run."""
    echo, health, library, web = free_ports(4)
    rig.write(ECHO, "echo.py")
    rig.write(SCRIPT_OF_THE_LIBRARY, "library.py")
    rig.write("raise SystemExit('no such model')", "broken.py")
    rig.write("import time; time.sleep(600)", "slow.py")
    server = f"[python, -m, http.server, '{web}', --bind, 127.0.0.1]"
    rig.write(f"""
        fleet: mixed
        defaults: {{required: false}}
        agents:
          Echo:
            run: echo.py
            port: {echo}
            health_port: {health}
            env: {{HEALTH: {health}}}
            ready: {{probe: zmq}}
          Library: {{run: library.py, port: {library}, ready: {{probe: zmq}}}}
          Web: {{run: {server}, port: {web}, ready: {{probe: http, path: /}}}}
          Quiet: {{run: speaker.py, ready: {{probe: notify}}}}
          Broken: {{run: broken.py, restart_limit: {{times: 0}}}}
          Blocked: {{run: speaker.py, ready: {{probe: notify}}, needs: [Broken]}}
          Slow: {{run: slow.py, ready: {{probe: notify}}}}
        """)
    rig.start("up", "-d")
    wanted = ["ready", "ready", "ready", "ready", "given-up", "blocked", "starting"]
    rig.until(lambda: [each["state"] for each in rig.agents().values()] == wanted)
    return rig


def test_call_sends_plain_json_to_script_with_zmq_probe(mixed: Rig) -> None:
    reply = mixed.json("call", "Echo", "translate", "text=good morning", "n=3")["reply"]
    assert reply == {"asked": {"action": "translate", "text": "good morning", "n": 3}}
    assert mixed.json("call", "Echo", "health")["reply"] == {"status": "ok", "at": True}, "the probe's port"
    assert mixed.json("call", "Echo")["reply"] == ["health"]
    assert '{"action": METHOD, "name": value}' in mixed.argosy("call", "Echo").stdout
    error = mixed.json("call", "Echo", "nothing", code=1)["error"]
    assert error == {"code": "error", "message": "`nothing` of `Echo` failed: error: nothing of the sort"}
    error = mixed.json("call", "Echo", "hang", "--timeout", "0.3", code=1)["error"]
    assert error["code"] == "DeadlineExceeded"
    assert "0.3 s" in error["message"]
    assert mixed.json("call", "Echo", "x", "action=y", code=2)["errors"][0]["where"] == "action"


def test_call_uses_wire_protocol_for_script_of_library(mixed: Rig) -> None:
    assert mixed.json("call", "Library", "double", "number=4")["reply"] == 8
    assert mixed.json("call", "Library")["reply"] == ["double(number: int) -> int"]


def test_call_of_unreachable_agent_fails_at_once_with_state_and_hint(mixed: Rig) -> None:
    for agent, code, words, hint in (
        ("Web", "no-protocol", "is an HTTP server", "curl http://127.0.0.1:"),
        ("Quiet", "no-protocol", "its probe is `notify`", "ready: {probe: zmq}"),
        ("Broken", "given-up", "exited with code 1", "argosy restart Broken"),
        ("Blocked", "blocked", "Broken", "argosy status"),
        ("Slow", "starting", "is starting for", "argosy logs Slow"),
    ):
        told = mixed.json("call", agent, "health", "--timeout", "30", code=1)
        assert told["argosy"] == "call/1"
        assert told["error"]["code"] == code
        assert words in told["error"]["message"]
        assert hint in told["error"]["hint"]
        assert told["seconds"] < 15, "it did not wait for its time-out"
    mixed.json("down", "--only", "Echo")
    done = mixed.argosy("call", "Echo", "health")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: `Echo` is not running: stopped\nhint: ")
    assert "`argosy restart Echo` starts it" in done.stderr


def test_call_parses_argument_values_as_json_where_possible() -> None:
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
