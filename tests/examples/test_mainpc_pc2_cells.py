"""Example fleet in cells: all 84 agents in four processes."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from argosy.engine.process.os_process import all_pids, read_stat
from argosy.fleet import load_fleet
from launch import until

from .whole import EXAMPLE, ExampleFleet, running_example_fleet

# Each cell: its loop, its lookout, and the two threads of its one ZeroMQ context.
THREADS_OF_A_CELL = 4
MOST_THREADS = 20
SIZES = {"core": 21, "voice": 27, "mind": 10, "pc2": 26}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def running() -> Iterator[ExampleFleet]:
    with running_example_fleet("cells.yaml") as made:
        yield made


def threads_of(pid: int) -> list[str]:
    return [(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()]


def test_cells_file_equals_fleet_file_except_for_cells() -> None:
    plain, cells = load_fleet(EXAMPLE / "fleet.yaml"), load_fleet(EXAMPLE / "cells.yaml")
    assert Counter(agent.cell for agent in cells.agents.values()) == SIZES
    for name, agent in cells.agents.items():
        same = {"cell": None, "where": plain.agents[name].where}
        assert msgspec.structs.replace(agent, **same) == plain.agents[name]
    assert list(cells.agents) == list(plain.agents)
    assert (cells.machines, cells.environments) == (plain.machines, plain.environments)


def test_agents_in_cells_run_in_four_processes_and_answer_under_own_names(running: ExampleFleet) -> None:
    agents = running.agents()
    assert sorted(running.up["ready"]) == sorted(agents)
    pid_of = {agent["cell"]: agent["pid"] for agent in agents.values()}
    assert len(set(pid_of.values())) == len(SIZES)
    assert all(agent["pid"] == pid_of[agent["cell"]] for agent in agents.values())
    assert running.health_of_agents() == dict.fromkeys(agents, "ok")


def test_cells_have_few_threads_and_one_zmq_context_each(running: ExampleFleet) -> None:
    pids = {agent["pid"] for agent in running.agents().values()}
    supervisor = running.argosy("status")[1]["supervisor"]["pid"]
    forkers = {
        pid for pid in all_pids() if (stat := read_stat(pid)) is not None and stat.parent_pid == supervisor
    }
    threads = {pid: threads_of(pid) for pid in {*pids, supervisor, *forkers}}
    assert sum(map(len, threads.values())) <= MOST_THREADS
    for pid, names in threads.items():
        contexts = sum(name.startswith("ZMQbg/IO") for name in names)
        assert (contexts, pid in pids and len(names)) == (
            int(pid in pids),
            pid in pids and THREADS_OF_A_CELL,
        )


def test_utterance_passes_through_cells_under_one_trace(running: ExampleFleet) -> None:
    passed = running.ask("AudioCapture").call("say", text="good morning, what is the time")
    assert len({hop["trace"] for hop in passed["hops"]}) == 1
    assert len({hop["agent"] for hop in passed["hops"]}) == 17


def test_killed_cell_restarts_completely_and_other_cells_keep_running(running: ExampleFleet) -> None:
    before = running.agents()
    os.kill(before["TTSService"]["pid"], signal.SIGKILL)

    def is_back() -> bool:
        now = running.agents()
        voice = [agent for agent in now.values() if agent["cell"] == "voice"]
        is_new = before["TTSService"]["pid"] not in [agent["pid"] for agent in voice]
        return is_new and {agent["state"] for agent in voice} == {"ready"}

    until(is_back)
    after = running.agents()
    changed = {after[name]["cell"] for name in after if after[name]["pid"] != before[name]["pid"]}
    assert changed == {"voice"}
    running.ask("AudioCapture").call("say", text="thanks")
