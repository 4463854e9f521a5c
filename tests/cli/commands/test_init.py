"""`argosy init` and `argosy new`: generated fleets and agents run, and no existing file is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fault import RefusedError
from argosy.fleet.add_agent import add_agent, class_name_for, find_free_port, module_name_for
from argosy.fleet.loader import load_fleet
from rig.fleet import Rig, free_ports


def test_init_writes_runnable_fleet_and_new_adds_agent(rig: Rig) -> None:
    told = rig.json("init", "--name", "harbour")
    assert (told["argosy"], told["fleet"]) == ("init/1", "harbour")
    fleet = rig.folder / "fleet.yaml"
    ports = free_ports(3)
    fleet.write_text(fleet.read_text().replace("7200", str(ports[0])).replace("7202", str(ports[1])))
    assert rig.json("check")["errors"] == []
    assert sorted(rig.json("up", "-d")["ready"]) == ["Greeter", "Visitor"]
    assert rig.json("call", "Greeter", "greet", "name=you")["reply"] == "hello you"
    before = fleet.read_text()
    told = rig.json("new", "SpeechToText", "--needs", "Greeter", "--port", str(ports[2]))
    assert told["entry"] == {
        "run": "agents.speech_to_text:SpeechToText",
        "machine": "here",
        "port": ports[2],
        "needs": ["Greeter"],
        "liveness": {"watchdog": "30s"},
    }
    assert fleet.read_text().startswith(before), "nothing else has changed"
    assert rig.json("up", "-d")["adopted"] == ["Greeter", "Visitor"]
    assert rig.json("call", "SpeechToText", "echo", "text=hi")["reply"] == "hi"


def test_new_agent_has_watchdog_unless_disabled(rig: Rig) -> None:
    rig.json("init")
    rig.json("new", "Third")
    rig.json("new", "Fourth", "--watchdog", "5s")
    rig.json("new", "Fifth", "--watchdog", "none")
    agents = load_fleet(rig.folder / "fleet.yaml").agents
    told = {name: agent.liveness and agent.liveness.watchdog for name, agent in agents.items()}
    assert told == {"Greeter": "30s", "Visitor": "30s", "Third": "30s", "Fourth": "5s", "Fifth": None}


def test_init_and_new_do_not_overwrite_files(rig: Rig) -> None:
    rig.json("init", "sub folder")
    assert rig.json("init", "sub folder", code=2)["errors"][0]["code"] == "exists"
    sub = ["--fleet", "sub folder"]
    assert rig.json("new", "Greeter", *sub, code=2)["errors"][0]["code"] == "exists"
    (rig.folder / "sub folder" / "agents" / "third.py").write_text("mine\n")
    assert rig.json("new", "Third", *sub, code=2)["errors"][0]["code"] == "exists"
    assert (rig.folder / "sub folder" / "agents" / "third.py").read_text() == "mine\n"
    for words in (["Fourth", "--needs", "Nobody"], ["Fourth", "--machine", "nowhere"], ["4th"], []):
        rig.json("new", *words, *sub, code=2)
    assert "Fourth" not in (rig.folder / "sub folder" / "fleet.yaml").read_text()


def test_commands_without_fleet_file_hint_at_init(rig: Rig) -> None:
    for words in (["new", "X"], ["up"], ["check"], ["check", "sub/"]):
        (fault,) = rig.json(*words, code=2)["errors"]
        assert fault["code"] == "no-fleet"
        assert "`argosy init" in fault["hint"], words
    rig.write("\n", "fleet.yaml")
    (fault,) = rig.json("check", code=2)["errors"]
    assert fault["code"] == "empty"
    assert "`argosy init`" in fault["hint"]
    assert rig.json("init")["argosy"] == "init/1", "an empty file is not in its way"
    assert rig.json("check")["errors"] == []


BLOCK = """\
# the head
fleet: f
agents:
    A: {run: a.py, port: 7200}   # the first

    B:
        run: b.py
        needs: [A]

# what the hub does
hub: {port: 9500}
"""


def test_add_agent_appends_agent_and_keeps_comments(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    made = add_agent(path, BLOCK, "C", {"run": "c.py", "port": "7203"})
    assert made == BLOCK.replace(
        "        needs: [A]\n", "        needs: [A]\n    C:\n      run: c.py\n      port: 7203\n"
    )
    fleet = load_fleet(path, made)
    assert list(fleet.agents) == ["A", "B", "C"]
    assert find_free_port(fleet) == 7201


@pytest.mark.parametrize(
    "text", ["fleet: f\nagents: {A: {run: a.py}}\n", "{fleet: f, agents: {A: {run: a.py}}}\n"]
)
def test_add_agent_refuses_flow_style_file_with_line_to_paste(tmp_path: Path, text: str) -> None:
    with pytest.raises(RefusedError) as raised:
        add_agent(tmp_path / "fleet.yaml", text, "B", {"run": "b.py"})
    assert raised.value.faults[0].hint == "add it manually: `B: {run: b.py}`"


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}", fullmatch=True))
def test_every_agent_name_maps_to_valid_module_and_class_names(name: str) -> None:
    assert module_name_for(name).isidentifier()
    assert class_name_for(name).isidentifier()
