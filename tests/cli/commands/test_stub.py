"""`argosy stub`: what it reads, writes and refuses, and that its peers work in a running fleet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .test_call import free_ports

if TYPE_CHECKING:
    from ..conftest import Rig

AGENTS = """
from typing import TYPE_CHECKING
import msgspec
from argosy.agent import Agent, request
from peers import connect, peer
if TYPE_CHECKING:
    from peers import GreeterPeer

class Hello(msgspec.Struct):
    text: str

class Greeter(Agent):
    @request
    async def hello(self, name: str) -> Hello:
        return Hello(f"hello {name}")
    @request
    async def count(self, to: int):
        for number in range(to):
            yield number

class Relay(Agent):
    @request
    async def via(self, name: str) -> list[object]:
        greeter: GreeterPeer = peer(self, "Greeter").within(5.0)
        counted = [number async for number in greeter.stream("count", to=3)]
        hello = await greeter.call("hello", returns=Hello, name=name)
        return [hello.text, await greeter.hello(name=name), counted, (await greeter.health())["status"]]
    @request
    def blocking(self, name: str) -> str:
        with connect("Greeter", timeout=5.0) as greeter:
            return greeter.call("hello", returns=Hello, name=name).text
"""


@pytest.fixture
def fleet(rig: Rig) -> Rig:
    """Two agents that know each other by the stub, a script, and one whose source does not parse."""
    first, second = free_ports(2)
    rig.write(AGENTS, "greeting.py")
    rig.write("class (:\n", "broken.py")
    rig.write(f"""
        fleet: toy
        agents:
          Greeter: {{run: "greeting:Greeter", port: {first}}}
          Relay: {{run: "greeting:Relay", port: {second}, needs: [Greeter]}}
          Speaker: {{run: speaker.py, ready: {{probe: notify}}}}
          Broken: {{run: "broken:Agent"}}
        """)
    return rig


def test_its_peers_work_in_a_running_fleet(fleet: Rig) -> None:
    made = fleet.argosy("stub", "Greeter", "-o", "peers.py")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "peers.py: 1 of 1 agents\n")
    fleet.json("up", "-d", "--only", "Relay")
    reply = fleet.json("call", "Relay", "via", "name=you")["reply"]
    assert reply == ["hello you", {"text": "hello you"}, [0, 1, 2], "ok"]
    assert fleet.json("call", "Relay", "blocking", "name=me")["reply"] == "hello me"


def test_who_is_left_out_is_told_and_a_source_that_does_not_parse_is_an_error(fleet: Rig) -> None:
    done = fleet.argosy("stub", "-o", "peers.py")
    assert done.returncode == 1
    assert "peers.py: 2 of 4 agents" in done.stderr
    assert "error: fleet.yaml:7:3: `broken` does not parse: line 1" in done.stderr
    text = (fleet.folder / "peers.py").read_text()
    assert text.startswith("# Made by `argosy stub -o peers.py`")
    assert "# Without `Speaker`: it runs a script.\n" in text
    assert "# Without `Broken`: `broken` does not parse" in text
    found = fleet.json("stub", code=1)
    assert (found["agents"], sorted(found["left_out"])) == (["Greeter", "Relay"], ["Broken", "Speaker"])
    again = fleet.argosy("stub", "-o", "peers.py")
    assert again.returncode == 1
    assert (fleet.folder / "peers.py").read_text() == text


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (["Greetr", "Nobody"], "unknown-agent", 2),
        (["Speaker"], "no-class", 2),
        (["Broken"], "no-source", 1),
        (["Greeter", "-o", "greeting.py"], "exists", 2),
        (["Greeter", "-o", "nowhere/peers.py"], "unwritable", 2),
    ],
)
def test_what_cannot_be_done_is_refused(fleet: Rig, words: list[str], code: str, exit_code: int) -> None:
    done = fleet.argosy("stub", *words, "--json")
    assert done.returncode == exit_code
    assert json.loads(done.stdout)["errors"][0]["code"] == code
    assert (fleet.folder / "greeting.py").read_text() == AGENTS
