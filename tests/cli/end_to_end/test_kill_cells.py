"""The supervisor is killed at each step of a cell: its agents run once each, in one process."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.fleet import Rig
from rig.trial import Point, Trial, end

CREW = """
import fcntl, os
from argosy.agent import Agent

class Witness(Agent):
    async def start(self) -> None:
        with open(f"{self.name}.lives", "ab", buffering=0) as lives:
            lives.write(b"%d\\n" % os.getpid())
        self.lock = open(f"{self.name}.witness", "a")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            open(f"{self.name}.twice", "w")
"""
FLEET = """
fleet: toy
defaults: {backoff: {first: 20ms}}
agents:
  A: {run: "crew:Witness", cell: one, port: %d}
  B: {run: "crew:Witness", cell: one, port: %d, needs: [A]}
  C: {run: "crew:Witness", port: %d, needs: [B]}
"""
RESTART = {
    "the cell has lost its process": Point("managed_cell.ManagedCell._detach_all"),
    "its agents have lost theirs": Point("managed_cell.ManagedCell._detach_all", "return"),
    "the process is ordered": Point("forker_client.ForkerClient.send", "return"),
    "the process is born": Point("launcher.ProcessLauncher.on_spawned", "return"),
    "the first is about to board": Point("managed_cell.SharedProcess.attach"),
    "the first has boarded": Point("managed_cell.SharedProcess.attach", "return"),
    "the process is called": Point("managed_cell.ManagedCell._send_members_update", "return"),
    "the second is called": Point("managed_cell.ManagedCell._send_members_update", "return", nth=2),
}
ADOPT = {
    "the process is about to be adopted": Point("managed_cell.ManagedCell.adopt_process"),
    "the first is about to be adopted": Point("managed_cell.SharedProcess.adopt"),
    "the second is about to be adopted": Point("managed_cell.SharedProcess.adopt", nth=2),
    "the cell is adopted": Point("managed_cell.ManagedCell.adopt_process", "return"),
}
LEAVE = {
    "one is about to leave": Point("managed_cell.ManagedCell.detach"),
    "one has been told to leave": Point("managed_cell.ManagedCell._send_members_update", "return"),
    "one has left": Point("managed_cell.SharedProcess.detach", "return"),
}
POINTS = {**RESTART, **ADOPT, **LEAVE}


def rows(table: dict[str, Point]) -> list[object]:
    """Return the rows of a table: the second one for the gate, all for `script/soak`."""
    return [pytest.param(row, marks=() if at == 1 else pytest.mark.soak) for at, row in enumerate(table)]


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """A cell of two agents and one that needs them."""
    folder = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    (folder / "r").mkdir(mode=0o700)
    rig = Rig(folder, folder / "r")
    rig.write(CREW, "crew.py")
    made = Trial(rig, POINTS, FLEET % free_ports())
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def free_ports() -> tuple[int, ...]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = tuple(each.getsockname()[1] for each in listeners)
    for each in listeners:
        each.close()
    return ports


def at_rest(trial: Trial) -> dict[str, int]:
    trial.disarm()
    if not trial.is_up() or trial.faults("ABC"):
        trial.up()
        trial.settle("ABC")
    return lived(trial)


def lived(trial: Trial) -> dict[str, int]:
    return {name: len(trial.lives(name)) for name in "ABC"}


@pytest.mark.parametrize("row", rows(RESTART))
def test_cell_restart_survives_supervisor_kill(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.arm(row)
    end(trial.living("A")[-1])
    trial.await_triggered(row)
    trial.up()
    trial.settle("ABC")
    assert trial.living("A") == trial.living("B")
    assert lived(trial) == before | {"A": before["A"] + 1, "B": before["B"] + 1}


@pytest.mark.parametrize("row", rows(ADOPT))
def test_cell_adoption_survives_supervisor_kill(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.kill_supervisor()
    trial.arm(row)
    trial.up()
    assert trial.triggered(row), "it never came to that step"
    trial.settle("ABC")
    assert lived(trial) == before


@pytest.mark.parametrize("row", rows(LEAVE))
def test_stop_of_cell_agent_survives_supervisor_kill(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.arm(row)
    code, told = trial.run("down", "--only", "B")
    assert (code, trial.triggered(row) is not None) == (0, True), told
    trial.up()
    trial.settle("ABC")
    assert trial.living("A") == trial.living("B")
    assert lived(trial)["C"] == before["C"]
