"""`run: module:Class` for classes of the legacy base class, as processes under the supervisor."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from rig.fleet import free_ports

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

OLD = """
import argparse, asyncio, sys
from argosy.agent.compat import BaseAgent

voice = argparse.ArgumentParser()
voice.add_argument("--voice", default="en")
args = voice.parse_args()                     # at import, as old modules do

class Plain(BaseAgent):
    def __init__(self):
        super().__init__(name="Plain", port=1)
    def handle_request(self, request):
        return {"heard": request, "voice": args.voice, "argv": sys.argv[1:]}
    def cleanup(self):
        super().cleanup()
        print("cleaned up", flush=True)

class Told(BaseAgent):
    def __init__(self, port, agent_name, *, health_check_port, strict=True, **more):
        super().__init__(name=agent_name, port=port, health_check_port=health_check_port)
        self.told = [port, agent_name, health_check_port, strict]
    def handle_request(self, request):
        return {"told": self.told}

class Task(BaseAgent):
    async def run(self):
        while self.running:
            await asyncio.sleep(0.01)

class Greedy(BaseAgent):
    def __init__(self, model):
        super().__init__()

class Raises(BaseAgent):
    def __init__(self):
        raise ValueError("no such voice")

class Stranger: ...
"""


def ask(port: int, document: dict[str, Any]) -> dict[str, Any]:
    """Ask as old programs do."""
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = 10_000
        req.connect(f"tcp://127.0.0.1:{port}")
        req.send_json(document)
        answer: dict[str, Any] = json.loads(req.recv())
        return answer


def one(rig: Rig, cls: str, *keys: str) -> None:
    """Write a fleet of one agent of a class of `OLD`."""
    rig.write(OLD, "old.py")
    rig.write(f"fleet: toy\nagents:\n  Here: {{{', '.join([f'run: old:{cls}', 'restart: never', *keys])}}}\n")


def test_legacy_agent_becomes_ready_answers_health_and_stops_on_sigterm(rig: Rig) -> None:
    port, health_port = free_ports(2)
    one(rig, "Plain", f"port: {port}", f"health_port: {health_port}", "args: [--voice, fil]")
    assert rig.json("up", "-d")["ready"] == ["Here"]
    for each in (port, health_port):
        assert ask(each, {"action": "health"})["status"] == "ok"
    heard = ask(port, {"action": "sing"})
    assert (heard["voice"], heard["argv"]) == ("fil", ["--voice", "fil"])
    pid = rig.pid("Here")
    os.kill(pid, signal.SIGTERM)
    rig.until(lambda: not is_alive(pid))
    assert "cleaned up" in rig.argosy("logs", "Here").stdout
    rig.until(lambda: rig.agents()["Here"]["state"] == "exited")
    assert rig.agents()["Here"]["reason"] == "exited with code 0"


def test_legacy_constructor_receives_declared_ports_and_name(rig: Rig) -> None:
    port, health_port = free_ports(2)
    one(rig, "Told", f"port: {port}", f"health_port: {health_port}")
    assert rig.json("up", "-d")["ready"] == ["Here"]
    assert ask(port, {"action": "tell"})["told"] == [port, "Here", health_port, True]


def test_legacy_agent_runs_coroutine_run_method(rig: Rig) -> None:
    (port,) = free_ports(1)
    one(rig, "Task", f"port: {port}")
    assert rig.json("up", "-d")["ready"] == ["Here"]
    assert ask(port, {"action": "health"})["status"] == "ok"


@pytest.mark.parametrize(
    ("cls", "keys", "message"),
    [
        (
            "Greedy",
            ["port: 5999"],
            "the constructor of `Greedy` requires `model`, which is not in a fleet file",
        ),
        ("Told", [], "the constructor of `Told` requires `port`, and none is declared"),
        ("Stranger", [], "`Stranger` of `old` is neither an `Agent` nor a `BaseAgent`"),
        ("Nobody", [], "`Nobody` of `old` is not there"),
        ("Raises", [], "ValueError: no such voice"),
    ],
)
def test_legacy_class_that_cannot_be_constructed_logs_reason(
    rig: Rig, cls: str, keys: list[str], message: str
) -> None:
    one(rig, cls, *keys)
    rig.json("up", "-d", code=1)
    assert message in rig.argosy("logs", "Here").stdout
