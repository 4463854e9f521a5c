"""Unresponsive supervisor: clients report a stopped or hanging one within seconds, with a hint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from argosy.engine.control.control_client import ProgressWatch
from argosy.engine.process.os_process import read_stat

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = "fleet: toy\ndefaults: {run: speaker.py, ready: {probe: notify}}\nagents: {A: {}, B: {}}\n"


@pytest.fixture
def stopped(rig: Rig) -> Iterator[tuple[Rig, int]]:
    """A fleet that runs, and the pid of its supervisor, which is stopped."""
    rig.write(FLEET)
    rig.json("up", "-d")
    pid = rig.json("status")["supervisor"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    yield rig, pid
    if is_alive(pid):
        os.kill(pid, signal.SIGCONT)


def test_clients_report_stopped_supervisor_within_seconds(stopped: tuple[Rig, int]) -> None:
    rig, pid = stopped
    began = time.monotonic()
    asking = {verb: rig.start(*verb.split()) for verb in ("status", "up -d", "down", "restart A")}
    for verb, process in asking.items():
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 1, (verb, out)
        assert f"supervisor pid {pid} does not answer (it is stopped: state T)".encode() in out, verb
        assert f"kill -CONT {pid}".encode() in out, verb
    assert time.monotonic() - began < 15, "each of them used to take 30 s"


def test_up_adopts_agents_after_stopped_supervisor_is_killed(stopped: tuple[Rig, int]) -> None:
    rig, pid = stopped
    os.kill(pid, signal.SIGCONT)
    agents = {name: agent["pid"] for name, agent in rig.agents().items()}
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    rig.until(lambda: not is_alive(pid))
    assert sorted(rig.json("up", "-d")["adopted"]) == ["A", "B"]
    assert {name: agent["pid"] for name, agent in rig.agents().items()} == agents


def test_down_fails_when_supervisor_is_stopped_during_it(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents: {A: {run: speaker.py, args: [deaf], ready: {probe: notify}, stop_timeout: 60s}}
        """)
    rig.json("up", "-d")
    pid, agent = rig.json("status")["supervisor"]["pid"], rig.pid("A")
    down = rig.start("down")
    rig.until(lambda: rig.agents()["A"]["state"] == "stopping")
    os.kill(pid, signal.SIGSTOP)
    out, _ = down.communicate(timeout=20)
    os.kill(agent, signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    assert down.returncode == 1
    assert f"supervisor pid {pid} does not answer (it is stopped".encode() in out
    rig.until(lambda: not rig.leftovers())


@pytest.mark.parametrize(
    ("code", "is_at_work"), [("while True: pass", True), ("import signal; signal.pause()", False)]
)
def test_progress_watch_is_busy_only_for_computing_process(code: str, is_at_work: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True)\n{code}"], stdout=subprocess.PIPE
    ) as made:
        assert made.stdout is not None
        made.stdout.readline()
        state = "R" if is_at_work else "S"
        while (stat := read_stat(made.pid)) is None or stat.state != state:
            assert made.poll() is None
        assert ProgressWatch(made.pid).is_busy() is is_at_work
        os.kill(made.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, made.pid, os.WSTOPPED | os.WNOWAIT)
        assert not ProgressWatch(made.pid).is_busy()
        made.kill()
