"""Cells on real processes: agents share one process and keep their own name, state, health and log lines."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

AGENTS = """
import asyncio, logging, os, sys, time
from argosy.agent import Agent, request

class Voice(Agent):
    @request
    async def say(self, text: str) -> str:
        print("says", text)
        logging.warning("said %s", text)
        return text.upper()

    @request
    def in_thread(self) -> None:
        print("from a thread")

    @request(short=True)
    def hang(self) -> None:
        time.sleep(60)

class Front(Agent):
    @request
    async def ask(self, whom: str, text: str) -> str:
        return await self.peer(whom).say(text=text)

class Late(Agent):
    async def start(self) -> None:
        while not os.path.exists("gate"):
            await asyncio.sleep(0.01)

class Broken(Agent):
    async def start(self) -> None:
        raise RuntimeError("the model is missing")
"""
# Two cells that need each other's agents, and one agent in between.
FLEET = """
fleet: toy
defaults: {stop_timeout: 2s, backoff: {first: 20ms}}
agents:
  Voice: {run: "crew:Voice", cell: one, port: %(voice)d}
  Other: {run: "crew:Voice", cell: two, needs: [Voice], port: %(other)d}
  Front: {run: "crew:Front", cell: one, needs: [Other], port: %(front)d}
  Alone: {run: "crew:Voice", needs: [Voice]}
"""
PORTS = {"voice": 25911, "other": 25912, "front": 25913}


@pytest.fixture
def fleet(rig: Rig) -> Rig:
    rig.write(AGENTS, "crew.py")
    rig.write(FLEET % PORTS)
    return rig


def states(rig: Rig) -> dict[str, str]:
    return {name: agent["state"] for name, agent in rig.agents().items()}


def all_ready(rig: Rig) -> bool:
    return set(states(rig).values()) == {"ready"}


def lines(rig: Rig, *names: str) -> list[tuple[str, str]]:
    told = [json.loads(line) for line in rig.argosy("logs", *names, "--json").stdout.splitlines()]
    return [(line["agent"], line["line"]) for line in told if not line["seam"]]


def test_cell_agents_share_process_and_keep_own_names(fleet: Rig) -> None:
    up = fleet.json("up", "-d")
    assert sorted(up["ready"]) == ["Alone", "Front", "Other", "Voice"]
    agents = fleet.agents()
    assert agents["Voice"]["pid"] == agents["Front"]["pid"] != agents["Other"]["pid"]
    assert (agents["Voice"]["cell"], agents["Alone"]["cell"]) == ("one", None)
    title = Path(f"/proc/{agents['Voice']['pid']}/cmdline").read_bytes().rstrip(b"\0")
    assert title == b"argosy: cell one"
    for whom in ("Voice", "Other", "Alone"):
        assert fleet.json("call", "Front", "ask", f"whom={whom}", "text=hi")["reply"] == "HI"


def test_cell_agent_answers_legacy_client_on_own_port(fleet: Rig) -> None:
    fleet.json("up", "-d")
    with zmq.Context() as context:
        for name, port in (("Voice", PORTS["voice"]), ("Front", PORTS["front"])):
            with context.socket(zmq.REQ) as old:
                old.linger, old.rcvtimeo = 0, 5000
                old.connect(f"tcp://127.0.0.1:{port}")
                old.send_json({"action": "health"})
                answer: Any = old.recv_json()
                assert (answer["name"], answer["status"]) == (name, "ok")


def test_cell_agents_share_one_zmq_context(fleet: Rig) -> None:
    fleet.json("up", "-d")
    tasks = Path(f"/proc/{fleet.pid('Voice')}/task")
    names = [(each / "comm").read_text().strip() for each in tasks.iterdir()]
    assert sum(name.startswith("ZMQbg/IO") for name in names) == 1


def test_logs_attribute_cell_lines_to_agent_that_wrote_them(fleet: Rig) -> None:
    fleet.json("up", "-d")
    fleet.json("call", "Front", "ask", "whom=Voice", "text=hi")
    fleet.json("call", "Voice", "in_thread")
    said = lines(fleet, "Voice")
    assert ("Voice", "says hi") in said
    assert ("Voice", "WARNING:root:said hi") in said
    assert ("Voice", "from a thread") in said
    assert lines(fleet, "Front") == []
    assert set(said) <= set(lines(fleet))


def test_cell_agents_become_ready_separately_for_their_dependents(fleet: Rig) -> None:
    fleet.write(
        """
        fleet: toy
        agents:
          Late: {run: "crew:Late", cell: one}
          Voice: {run: "crew:Voice", cell: one}
          AfterVoice: {run: "crew:Voice", needs: [Voice]}
          AfterLate: {run: "crew:Voice", cell: one, needs: [Late]}
        """
    )
    starting = fleet.start("up", "-d")
    want = {"Late": "starting", "Voice": "ready", "AfterVoice": "ready", "AfterLate": "waiting"}
    fleet.until(lambda: states(fleet) == want)
    fleet.write("", "gate")
    assert starting.wait(20) == 0
    assert all_ready(fleet)


def test_killed_cell_restarts_its_agents_only(fleet: Rig) -> None:
    fleet.json("up", "-d")
    before = fleet.agents()
    os.kill(before["Voice"]["pid"], signal.SIGKILL)
    fleet.until(lambda: all_ready(fleet) and fleet.pid("Voice") != before["Voice"]["pid"])
    after = fleet.agents()
    assert after["Voice"]["pid"] == after["Front"]["pid"]
    assert {name: after[name]["restarts"] for name in after} == {
        "Voice": 1,
        "Other": 0,
        "Front": 1,
        "Alone": 0,
    }
    assert fleet.json("call", "Front", "ask", "whom=Other", "text=hi")["reply"] == "HI"


def test_restart_of_one_agent_restarts_and_reports_its_whole_cell(fleet: Rig) -> None:
    fleet.json("up", "-d")
    before = fleet.pid("Voice")
    done = fleet.json("restart", "Voice")
    assert (done["restarted"], done["mates"]) == (["Front", "Voice"], {"one": ["Front"]})
    after = fleet.agents()
    assert after["Voice"]["pid"] == after["Front"]["pid"] != before


def test_down_of_one_agent_stops_its_whole_cell(fleet: Rig) -> None:
    fleet.json("up", "-d")
    pid = fleet.pid("Voice")
    down = fleet.json("down", "--only", "Voice")
    assert (sorted(down["stopped"]), down["killed"]) == (["Front", "Voice"], [])
    assert not is_alive(pid)
    assert states(fleet) == {"Voice": "exited", "Other": "ready", "Front": "exited", "Alone": "ready"}
    assert sorted(fleet.json("up", "-d")["adopted"]) == ["Alone", "Other"]


def test_supervisor_adopts_cells_after_crash(fleet: Rig) -> None:
    fleet.json("up", "-d")
    before = {name: agent["pid"] for name, agent in fleet.agents().items()}
    fleet.kill_supervisor()
    assert {name: agent["pid"] for name, agent in fleet.agents().items()} == before
    up = fleet.json("up", "-d")
    assert sorted(up["adopted"]) == ["Alone", "Front", "Other", "Voice"]
    assert {name: agent["pid"] for name, agent in fleet.agents().items()} == before
    os.kill(before["Voice"], signal.SIGKILL)
    fleet.until(lambda: all_ready(fleet) and fleet.pid("Front") != before["Front"])


def test_down_stops_cells_without_supervisor(fleet: Rig) -> None:
    fleet.json("up", "-d")
    fleet.kill_supervisor()
    assert sorted(fleet.json("down")["stopped"]) == ["Alone", "Front", "Other", "Voice"]
    fleet.until(lambda: not fleet.leftovers())  # what served the dead supervisor ends by itself


def test_watchdog_names_agent_and_handler_that_blocks_cell(fleet: Rig) -> None:
    text = (FLEET % PORTS).replace("cell: one,", "cell: one, liveness: {watchdog: 1s},")
    fleet.write(text.replace("stop_timeout: 2s", "stop_timeout: 100ms"))
    fleet.json("up", "-d")
    before = fleet.pid("Voice")
    fleet.argosy("call", "Voice", "hang", "--timeout", "3")
    fleet.until(lambda: all_ready(fleet) and fleet.pid("Front") != before)
    event_log = next((fleet.folder / "state" / "argosy").glob("*/event-log")).read_text()
    assert "its cell `one` sent no heartbeat for 1.0 s" in event_log
    assert "`Voice` runs `hang`" in event_log
    told = [line for agent, line in lines(fleet, "Voice") if agent == "Voice"]
    assert any("the work loop has been blocked" in line and "`Voice` runs `hang`" in line for line in told)
    assert any("time.sleep(60)" in line for line in told), "with the whole stack"


def test_timeline_includes_cell_start_in_agent_start(fleet: Rig) -> None:
    fleet.json("up", "-d")
    told = fleet.json("timeline")
    spent = told["agents"]["Voice"]["spent"]
    assert spent["start"] > spent["admission"]
    # Nobody waited for a processor that was taken: without such waits it would have taken about as long.
    assert told["needs_alone_seconds"] > 0.5 * told["critical_path_seconds"]


def test_agent_start_error_fails_whole_cell_and_is_reported(fleet: Rig) -> None:
    fleet.write(
        """
        fleet: toy
        defaults: {restart: never}
        agents:
          Broken: {run: "crew:Broken", cell: one}
          Voice: {run: "crew:Voice", cell: one}
        """
    )
    up = fleet.json("up", "-d", code=1)
    assert set(up["not_ready"]) == {"Broken", "Voice"}
    for reason in up["not_ready"].values():
        assert "`Broken` could not be started: RuntimeError: the model is missing" in reason


def test_supervisor_gives_up_cell_after_restart_limit(fleet: Rig) -> None:
    fleet.write(
        """
        fleet: toy
        defaults: {restart_limit: {times: 1}, backoff: {first: 10ms}}
        agents:
          Broken: {run: "crew:Broken", cell: one}
          Voice: {run: "crew:Voice", cell: one}
        """
    )
    up = fleet.json("up", "-d", code=1)
    assert "given up" in up["not_ready"]["Voice"]


def test_start_timeout_of_one_agent_leaves_rest_of_cell_running(fleet: Rig) -> None:
    fleet.write(
        """
        fleet: toy
        agents:
          Late: {run: "crew:Late", cell: one, start_timeout: 1s}
          Voice: {run: "crew:Voice", cell: one}
        """
    )
    up = fleet.json("up", "-d", code=1)
    assert up["ready"] == ["Voice"]
    assert "was not ready after 1.0 s" in up["not_ready"]["Late"]
    before = fleet.pid("Voice")
    # It has lived in this process, and is begun in another one.
    fleet.write("", "gate")
    assert sorted(fleet.json("up", "-d")["ready"]) == ["Late", "Voice"]
    assert fleet.pid("Voice") == fleet.pid("Late") != before


def test_moving_agent_between_cells_restarts_only_moved_agents(fleet: Rig) -> None:
    fleet.json("up", "-d")
    before = {name: agent["pid"] for name, agent in fleet.agents().items()}
    moved = (FLEET % PORTS).replace('"crew:Front", cell: one', '"crew:Front"')
    fleet.write(moved.replace("Alone: {", "Alone: {cell: one, "))
    up = fleet.json("up", "-d")
    assert sorted(up["ready"]) == ["Alone", "Front", "Other", "Voice"]
    assert sorted(up["adopted"]) == ["Other", "Voice"]
    after = {name: agent["pid"] for name, agent in fleet.agents().items()}
    assert (after["Voice"], after["Other"]) == (before["Voice"], before["Other"])
    assert after["Alone"] == after["Voice"]
    assert after["Front"] not in before.values()
    assert not is_alive(before["Alone"])


def test_changed_declaration_of_agent_restarts_its_whole_cell(fleet: Rig) -> None:
    fleet.json("up", "-d")
    before = {name: agent["pid"] for name, agent in fleet.agents().items()}
    fleet.write(
        (FLEET % PORTS).replace("stop_timeout: 2s", "stop_timeout: 2s, env: {}").replace("25913", "25914")
    )
    done = fleet.argosy("up", "-d")
    assert "2 to restart" in done.stderr, done.stderr
    after = {name: agent["pid"] for name, agent in fleet.agents().items()}
    assert after["Front"] == after["Voice"] != before["Voice"]
    assert (after["Other"], after["Alone"]) == (before["Other"], before["Alone"])
    with zmq.Context() as context, context.socket(zmq.REQ) as old:
        old.linger, old.rcvtimeo = 0, 5000
        old.connect("tcp://127.0.0.1:25914")
        old.send_json({"action": "health"})
        assert old.recv_json()["name"] == "Front"  # type: ignore[index,call-overload]


def test_removing_agent_keeps_its_cell_running(fleet: Rig) -> None:
    fleet.json("up", "-d")
    before = fleet.pid("Voice")
    fleet.write("\n".join(line for line in (FLEET % PORTS).splitlines() if "Front" not in line))
    assert sorted(fleet.json("up", "-d")["ready"]) == ["Alone", "Other", "Voice"]
    assert fleet.pid("Voice") == before
    with zmq.Context() as context, context.socket(zmq.REP) as free:
        free.bind(f"tcp://127.0.0.1:{PORTS['front']}")


def test_restart_dry_run_of_cell_matches_real_restart(fleet: Rig) -> None:
    text = (FLEET % PORTS).replace(
        "cell: two, needs: [Voice]", "cell: two, needs: [{agent: Voice, on_death: restart}]"
    )
    fleet.write(text)
    fleet.json("up", "-d")
    told = fleet.json("restart", "Front", "--dry-run")
    assert told["mates"] == {"one": ["Voice"]}
    assert {name: outage["why"] for name, outage in told["outages"].items()} == {
        "Front": "named",
        "Voice": "cell",
        "Other": "restart",
    }
    assert {outage["measured"] for outage in told["outages"].values()} == {1}
    words = fleet.argosy("restart", "Front", "--dry-run").stdout
    assert "restart  Voice: in one process with Front; away from 0.00 to" in words
    done = fleet.json("restart", "Front")
    for key in ("restarted", "reconnected", "mates"):
        assert told[key] == done[key]


def test_restart_changed_restarts_only_cell_of_changed_agent(fleet: Rig) -> None:
    fleet.write(AGENTS, "other.py")
    fleet.write((FLEET % PORTS).replace("crew:Front", "other:Front"))
    fleet.json("up", "-d")
    before = fleet.agents()
    assert fleet.json("restart", "--changed")["restarted"] == []
    fleet.write(AGENTS + "\nX = 1\n", "other.py")
    told = fleet.json("restart", "--changed", "--dry-run")
    done = fleet.json("restart", "--changed")
    assert told["changed"] == done["changed"] == {"Front": ["other.py"]}
    assert told["restarted"] == done["restarted"] == ["Front", "Voice"]
    assert done["mates"] == {"one": ["Voice"]}
    after = fleet.agents()
    assert {name for name in after if after[name]["pid"] != before[name]["pid"]} == {"Front", "Voice"}
    assert fleet.json("restart", "--changed")["restarted"] == []


def test_graph_real_compares_cell_edges_with_declarations_of_its_agents(fleet: Rig) -> None:
    fleet.json("up", "-d")
    fleet.json("call", "Front", "ask", "whom=Other", "text=hi")
    fleet.json("call", "Front", "ask", "whom=Alone", "text=hi")
    answer = fleet.json("graph", "--real")
    crowds = {(tuple(each["agents"]), each["to"]) for each in answer["real_of_cells"]}
    assert crowds >= {(("Voice", "Front"), "Other"), (("Voice", "Front"), "Alone")}
    found = {(each["from"], each["to"]): each for each in answer["differences"]}
    assert found["cell one", "Alone"]["code"] == "D503"
    assert "none of its 2 agents declares it" in found["cell one", "Alone"]["message"]
    # `Front` needs `Other` and is connected to it; `Other` and `Alone` need `Voice` and never asked it.
    assert {(one, other) for (one, other), each in found.items() if each["code"] == "D504"} == {
        ("Other", "Voice"),
        ("Alone", "Voice"),
    }
    assert "edges observed in cells" in fleet.argosy("graph", "--real").stdout


def test_supervisor_adopts_cells_after_state_dir_deletion(fleet: Rig) -> None:
    fleet.json("up", "-d")
    before = {name: agent["pid"] for name, agent in fleet.agents().items()}
    state = next((fleet.folder / "state" / "argosy").glob("*/event-log")).parent
    shutil.rmtree(state)
    assert sorted(fleet.json("up", "-d")["adopted"]) == ["Alone", "Front", "Other", "Voice"]
    fleet.kill_supervisor()
    shutil.rmtree(state)
    assert {name: agent["pid"] for name, agent in fleet.agents().items()} == before, "status asks /proc"
    assert sorted(fleet.json("up", "-d")["adopted"]) == ["Alone", "Front", "Other", "Voice"]
    assert {name: agent["pid"] for name, agent in fleet.agents().items()} == before
    os.kill(before["Voice"], signal.SIGKILL)
    fleet.until(lambda: all_ready(fleet) and fleet.pid("Front") != before["Front"])
    assert fleet.json("call", "Front", "ask", "whom=Other", "text=hi")["reply"] == "HI"


def test_down_stops_cells_after_state_dir_deletion(fleet: Rig) -> None:
    fleet.json("up", "-d")
    pids = {agent["pid"] for agent in fleet.agents().values()}
    fleet.kill_supervisor()
    shutil.rmtree(next((fleet.folder / "state" / "argosy").glob("*/event-log")).parent)
    assert sorted(fleet.json("down")["stopped"]) == ["Alone", "Front", "Other", "Voice"]
    assert not any(map(is_alive, pids))
