"""`argosy drill`: faults on purpose in a real fleet, noticed, recovered, and every request accounted for."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from rig.fleet import Rig, free_ports

AGENT = """
from argosy.agent import Agent, run

class Speaker(Agent):
    pass

if __name__ == "__main__":
    run(Speaker)
"""


@pytest.fixture
def fleet(rig: Rig) -> Rig:
    rig.write(AGENT, "agent.py")
    ports = free_ports(2)
    rig.write(
        f"""
        fleet: toy
        agents:
          A: {{run: 'agent:Speaker', port: {ports[0]}, liveness: {{watchdog: 300ms}}}}
          B: {{run: 'agent:Speaker', port: {ports[1]}, restart: never}}
          C: {{run: speaker.py, ready: {{probe: notify}}}}
        """
    )
    rig.json("up", "-d")
    return rig


def test_a_kill_and_a_freeze_are_noticed_and_every_request_ends(fleet: Rig) -> None:
    before = fleet.pid("A")
    told = fleet.json("drill", "--kill", "A", "--freeze", "A")
    assert told["argosy"] == "drill/1"
    assert [(fault["agent"], fault["kind"]) for fault in told["faults"]] == [("A", "kill"), ("A", "freeze")]
    for fault in told["faults"]:
        assert 0 <= fault["noticed_ms"] <= fault["recovered_ms"]
        assert fault["note"] == ""
    requests = told["requests"]
    assert requests["sent"] == requests["answered"] + requests["failed_named"] + requests["lost"]
    assert requests["lost"] == 0
    assert requests["answered"] > 0
    assert sorted(told["asked"]) == ["A", "B"], "a script that speaks no wire is not asked"
    assert fleet.agents()["A"]["restarts"] == 2
    assert fleet.pid("A") != before


def test_what_nobody_notices_and_what_does_not_come_back_is_a_bad_answer(fleet: Rig) -> None:
    pid = fleet.pid("C")
    told = fleet.json("drill", "--freeze", "C", "--within", "0.5", code=1)
    (fault,) = told["faults"]
    assert (fault["noticed_ms"], fault["recovered_ms"]) == (None, None)
    assert "liveness" in fault["note"]
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T", "it goes on"
    told = fleet.json("drill", "--kill", "B", code=1)
    (fault,) = told["faults"]
    assert fault["noticed_ms"] is not None
    assert fault["recovered_ms"] is None
    assert fault["note"].startswith("given-up" if "given" in fault["note"] else "exited")


def test_a_freeze_that_no_liveness_ends_is_noticed_by_its_silence_and_what_noticed_it_is_told(
    fleet: Rig,
) -> None:
    pid = fleet.pid("B")
    told = fleet.json("drill", "--freeze", "B", "--freeze", "A")
    silent, ended = told["faults"]
    assert silent["noticed"].startswith("silent for ")
    assert silent["note"] == ""
    assert 0 < silent["noticed_ms"] <= silent["recovered_ms"]
    assert fleet.pid("B") == pid, "nothing restarts it; it went on when it was noticed"
    assert ended["noticed"].startswith("gave no sign of life for 0.3 s")


def test_at_random_only_those_are_struck_that_come_back(fleet: Rig) -> None:
    told = fleet.json("drill", "--minutes", "0.06", "--seed", "1")
    assert told["faults"]
    assert {fault["agent"] for fault in told["faults"]} <= {"A", "C"}
    assert not any(fault["agent"] == "C" and fault["kind"] == "freeze" for fault in told["faults"])


def test_ctrl_c_lets_what_is_frozen_go_on(fleet: Rig) -> None:
    pid = fleet.pid("C")
    drill = fleet.start("drill", "--freeze", "C", "--within", "60")
    fleet.until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", 30)
    drill.send_signal(signal.SIGINT)
    assert drill.wait(30) == 130
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"


def test_what_cannot_be_struck_is_told(fleet: Rig, rig: Rig) -> None:
    assert rig.json("drill", "--kill", "nobody", code=2)["errors"][0]["code"] == "unknown-agent"
    assert rig.json("drill", "--minutes", "-1", code=2)["errors"][0]["code"] == "usage"
    rig.json("down")
    assert rig.json("drill", "--kill", "A", code=1)["errors"][0]["code"] == "not-running"
    text = (rig.folder / "fleet.yaml").read_text()
    rig.write(text + "environments: {production: {}}\n")
    rig.json("up", "-d", "--env", "production")
    assert rig.json("drill", "--kill", "A", code=1)["errors"][0]["code"] == "production"
    assert rig.json("drill", "--kill", "A", "--yes")["faults"][0]["note"] == ""
