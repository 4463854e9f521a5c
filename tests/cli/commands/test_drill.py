"""`argosy drill`: injected faults are noticed and recovered, and every request is accounted for."""

from __future__ import annotations

import os
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


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


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


def test_drill_reports_kill_and_freeze_and_counts_every_request(fleet: Rig) -> None:
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


def test_drill_fails_for_unnoticed_or_unrecovered_fault(fleet: Rig) -> None:
    pid = fleet.pid("C")
    told = fleet.json("drill", "--freeze", "C", "--within", "0.5", code=1)
    (fault,) = told["faults"]
    assert (fault["noticed_ms"], fault["recovered_ms"]) == (None, None)
    assert "liveness" in fault["note"]
    assert state_of(pid) != "T", "it goes on"
    told = fleet.json("drill", "--kill", "B", code=1)
    (fault,) = told["faults"]
    assert fault["noticed_ms"] is not None
    assert fault["recovered_ms"] is None
    assert fault["note"].startswith("given-up" if "given" in fault["note"] else "exited")


def test_drill_reports_how_freeze_was_noticed(
    fleet: Rig,
) -> None:
    pid = fleet.pid("B")
    told = fleet.json("drill", "--freeze", "B", "--freeze", "A")
    silent, ended = told["faults"]
    assert silent["noticed"].startswith("silent for ")
    assert silent["note"] == ""
    assert 0 < silent["noticed_ms"] <= silent["recovered_ms"]
    assert fleet.pid("B") == pid, "nothing restarts it; it went on when it was noticed"
    assert ended["noticed"].startswith("sent no heartbeat for 0.3 s")


def test_random_drill_strikes_only_restartable_agents(fleet: Rig) -> None:
    told = fleet.json("drill", "--minutes", "0.06", "--seed", "1")
    assert told["faults"]
    assert {fault["agent"] for fault in told["faults"]} <= {"A", "C"}
    assert told["left_out"] == {"B": "`restart: never`: it would not come back"}
    assert not any(fault["agent"] == "C" and fault["kind"] == "freeze" for fault in told["faults"])


def test_drill_resumes_frozen_agent_on_ctrl_c(fleet: Rig) -> None:
    pid = fleet.pid("C")
    drill = fleet.start("drill", "--freeze", "C", "--within", "60")
    fleet.until(lambda: state_of(pid) == "T", 30)
    drill.send_signal(signal.SIGINT)
    assert drill.wait(30) == 130
    assert state_of(pid) != "T"


def test_drill_refuses_unknown_agent_stopped_fleet_and_production(fleet: Rig, rig: Rig) -> None:
    assert rig.json("drill", "--kill", "nobody", code=2)["errors"][0]["code"] == "unknown-agent"
    assert rig.json("drill", "--minutes", "-1", code=2)["errors"][0]["code"] == "usage"
    rig.json("down")
    assert rig.json("drill", "--kill", "A", code=1)["errors"][0]["code"] == "not-running"
    text = (rig.folder / "fleet.yaml").read_text()
    rig.write(text + "environments: {production: {}}\n")
    rig.json("up", "-d", "--env", "production")
    assert rig.json("drill", "--kill", "A", code=1)["errors"][0]["code"] == "production"
    assert rig.json("drill", "--kill", "A", "--yes")["faults"][0]["note"] == ""


SIX = """
    fleet: six
    agents:
      A: {{run: 'agent:Speaker', port: {0}}}
      B: {{run: 'agent:Speaker', port: {1}, needs: [A]}}
      C: {{run: 'agent:Speaker', port: {2}, needs: [{{agent: A, on_death: stop}}]}}
      D: {{run: rep.py, port: {3}, ready: {{probe: zmq}}}}
      E: {{run: rep.py, port: {4}, ready: {{probe: zmq}}}}
      F: {{run: speaker.py, ready: {{probe: notify}}}}
"""
REP = """
import os, zmq
socket = zmq.Context().socket(zmq.REP)
socket.bind("tcp://127.0.0.1:" + os.environ["ARGOSY_PORT"])
while True:
    socket.recv()
    socket.send_json({"status": "ok"})
"""


def test_drill_beyond_restart_limit_restores_every_agent(rig: Rig) -> None:
    rig.write(AGENT, "agent.py")
    rig.write(REP, "rep.py")
    rig.write(SIX.format(*free_ports(5)))
    rig.json("up", "-d")
    told = rig.json("drill", *["--kill", "A"] * 6, "--minutes", "0.04", "--pause", "0.01", "--seed", "3")
    struck = [fault["agent"] for fault in told["faults"]]
    assert struck.count("A") > 5, "more often than the limit of restarts allows"
    assert len(struck) > 6
    assert told["not_restored"] == {}
    assert sorted(told["restored"]) == ["A", "B", "C", "D", "E", "F"]
    agents = rig.agents()
    assert {agent["state"] for agent in agents.values()} == {"ready"}


def test_drill_restarts_do_not_count_towards_restart_limit(rig: Rig) -> None:
    rig.write(AGENT, "agent.py")
    rig.write(
        """
        fleet: toy
        defaults: {restart_limit: {times: 1, within: 1h}}
        agents:
          A: {run: 'agent:Speaker', liveness: {watchdog: 300ms}}
        """
    )
    rig.json("up", "-d")
    told = rig.json("drill", "--kill", "A", "--kill", "A", "--freeze", "A")
    assert [fault["note"] for fault in told["faults"]] == ["", "", ""]

    def strike_by_hand() -> str:
        pid = rig.pid("A")
        os.kill(pid, signal.SIGKILL)
        rig.until(lambda: rig.agents()["A"]["pid"] != pid)
        rig.until(lambda: rig.agents()["A"]["state"] in ("ready", "given-up"))
        state: str = rig.agents()["A"]["state"]
        return state

    assert strike_by_hand() == "ready", "the one restart that the limit allows is still there"
    assert strike_by_hand() == "given-up", "what a drill has not done counts"


def test_drill_restarts_ended_agents_and_names_those_it_cannot_restore(fleet: Rig) -> None:
    told = fleet.json("drill", "--kill", "B", code=1)
    assert told["faults"][0]["recovered_ms"] is None
    assert (sorted(told["restored"]), told["not_restored"]) == (["A", "B", "C"], {})
    assert fleet.agents()["B"]["state"] == "ready"
    fleet.write(AGENT.replace("pass", "async def start(self): raise RuntimeError('no more')"), "agent.py")
    done = fleet.argosy("drill", "--kill", "B", "--within", "5")
    assert done.returncode == 1
    assert "error: `B` is not ready again" in done.stderr
    assert "ready before: 3 agents; ready again: 2" in done.stdout
    assert "1 fault: 0 noticed and recovered, 1 not" in done.stdout


def test_frozen_agent_resumes_after_drill_is_killed(fleet: Rig) -> None:
    pid = fleet.pid("C")
    drill = fleet.start("drill", "--freeze", "C", "--within", "600")
    fleet.until(lambda: state_of(pid) == "T")
    drill.kill()
    fleet.until(lambda: state_of(pid) != "T", 5)
    assert fleet.pid("C") == pid


def test_frozen_agent_resumes_after_supervisor_is_killed(fleet: Rig) -> None:
    pid = fleet.pid("C")
    drill = fleet.start("drill", "--freeze", "C", "--within", "600")
    fleet.until(lambda: state_of(pid) == "T")
    fleet.kill_supervisor()
    assert drill.wait(30) == 1
    assert state_of(pid) != "T"


def test_drill_strikes_only_ready_agents(rig: Rig) -> None:
    rig.write("import time\ntime.sleep(600)\n", "slow.py")
    rig.write(
        """
        fleet: toy
        agents:
          A: {run: speaker.py, ready: {probe: notify}, restart: never}
          B: {run: slow.py, ready: {probe: notify}}
        """
    )
    rig.start("up", "-d")
    rig.until(lambda: [each["state"] for each in rig.agents().values()] == ["ready", "starting"])
    pid = rig.pid("B")
    told = rig.json("drill", "--kill", "B", code=1)
    assert told["faults"] == []
    assert told["left_out"] == {"B": "`B` is starting; a drill injects faults only into ready agents"}
    assert rig.pid("B") == pid
    error = rig.json("drill", code=1)["errors"][0]
    assert error["code"] == "no-target"
    assert "`A`: `restart: never`" in error["message"]


def test_drill_refuses_random_faults_in_production(fleet: Rig) -> None:
    pids = {name: agent["pid"] for name, agent in fleet.agents().items()}
    production = {"ENV_TYPE": "production"}
    for words in ([], ["--yes"], ["--kill", "A", "--minutes", "1", "--yes"]):
        error = fleet.json("drill", *words, env=production, code=2)["errors"][0]
        assert error["code"] == "production"
        assert "--kill" in error["hint"]
    assert {name: agent["pid"] for name, agent in fleet.agents().items()} == pids


def test_drill_restarts_do_not_count_towards_restart_limit_of_cell(rig: Rig) -> None:
    rig.write(AGENT, "agent.py")
    rig.write(
        """
        fleet: toy
        defaults: {cell: box, restart_limit: {times: 1, within: 1h}}
        agents:
          A: {run: 'agent:Speaker'}
          B: {run: 'agent:Speaker'}
        """
    )
    rig.json("up", "-d")
    told = rig.json("drill", "--kill", "A", "--kill", "B", "--kill", "A")
    assert [fault["note"] for fault in told["faults"]] == ["", "", ""]
    assert (sorted(told["restored"]), told["not_restored"]) == (["A", "B"], {})


def test_short_drill_sends_requests_to_every_agent_it_lists(fleet: Rig) -> None:
    told = fleet.json("drill", "--kill", "A")
    assert told["asked"] == ["A", "B"]
    assert told["requests"]["sent"] >= 2
