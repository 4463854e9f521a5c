"""A full disk, a deleted state directory or a clock change at the worst moment: the fleet keeps running.

The next `up` adopts exactly what runs.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.fault import RefusedError
from rig.fleet import Rig
from rig.needs import require
from rig.trial import Point, Trial, end

# Where something is written, or looked at, while an agent starts again.
AT_A_START = {
    "its lease is looked at": Point("process_backend.OwnProcess.adopt_survivor"),
    "the transition is noted": Point("event_log.EventLog.append"),
    "its log is opened": Point("log_file.open_log"),
    "its state is saved": Point("unit_state_store.UnitStateStore.write"),
    "its order is sent": Point("forker_client.ForkerClient.send"),
    "its lease is opened": Point("child_setup._take_lease", kinds=("forker",)),
    "its record is written": Point("lease.write_record", kinds=("forker",)),
    "the generation is read": Point("generation.read_generation", kinds=("forker",)),
    "its output is marked": Point("log_file.append_marks"),
    "its readiness is written": Point("unit_state_store.UnitStateStore.write", nth=3),
}
# While a new supervisor adopts.
AT_ADOPTION = {
    "the lock is about to be taken": Point("generation.acquire_lock"),
    "the generation is raised": Point("generation.write_generation"),
    "the event log is opened": Point("event_log.EventLog.__init__"),
    "the forkers are noted": Point("forker_client.record_forkers"),
    "an agent is adopted": Point("unit.Unit.adopt"),
    "the plan is drafted": Point("applied_plan.stage_applied_plan"),
    "the book is written": Point("applied_plan.write_fleet_address_book"),
}
POINTS = {
    f"{do}: {row}": point._replace(do=do)
    for do in ("fill", "lose")
    for row, point in (AT_A_START | AT_ADOPTION).items()
}


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """A fleet that runs; its state is on a disk of 512 KiB."""
    require("mount", "umount")
    folder = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    (folder / "r").mkdir(mode=0o700)
    disk = folder / "state"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    made = Trial(Rig(folder, folder / "r"), POINTS)
    try:
        yield made
    finally:
        made.close()
        subprocess.run(["umount", "-l", str(disk)], check=True)
        shutil.rmtree(folder)


def ballast(trial: Trial) -> Path:
    return trial.folder.path / "ballast"


def lived(trial: Trial) -> dict[str, int]:
    return {name: len(trial.lives(name)) for name in "ABC"}


def at_rest(trial: Trial) -> dict[str, int]:
    trial.disarm()
    ballast(trial).unlink(missing_ok=True)
    trial.up()
    trial.settle("ABC")
    return lived(trial)


def params(rows: dict[str, Point]) -> list[object]:
    """Return the rows, each with both misfortunes; each third one for the gate."""
    pairs = [(do, row) for row in rows for do in ("fill", "lose")]
    marks = ((), pytest.mark.soak, pytest.mark.soak)
    return [pytest.param(f"{do}: {row}", marks=marks[at % 3]) for at, (do, row) in enumerate(pairs)]


@pytest.mark.parametrize("row", params(AT_A_START))
def test_agent_restart_survives_full_disk_or_deleted_state_dir(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.arm(row)
    end(trial.living("A")[-1])
    trial.await_triggered(row)
    trial.settle("ABC")
    before["A"] += 1
    assert lived(trial) == before, "it has started again, nobody else has"
    ballast(trial).unlink(missing_ok=True)
    trial.kill_supervisor()
    trial.up()
    trial.settle("ABC")
    assert lived(trial) == before


@pytest.mark.parametrize("row", params(AT_ADOPTION))
def test_adoption_survives_full_disk_or_deleted_state_dir(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.kill_supervisor()
    trial.arm(row)
    with contextlib.suppress(RefusedError):  # what cannot be written down is not begun
        trial.up()
    assert trial.triggered(row), "it never came to that step"
    assert [name for name in "ABC" if len(trial.living(name)) != 1] == []
    ballast(trial).unlink(missing_ok=True)
    trial.up()
    trial.settle("ABC")
    assert lived(trial) == before


def test_up_adopts_agents_and_starts_missing_ones_on_full_disk(trial: Trial) -> None:
    before = at_rest(trial)
    with ballast(trial).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    trial.up()  # nothing is to do, and nothing is written down
    assert lived(trial) == before
    trial.kill_supervisor()
    for pid in (gone := trial.living("A")):
        end(pid)
    trial.rig.until(lambda: not set(gone) & set(trial.living("A")))
    trial.up()
    trial.settle("ABC")
    assert lived(trial) == before | {"A": before["A"] + 1}


# Sets the clock of a process back by as much as the file `clock` says, whenever it changes.
CLOCK = """
import os, time
now = time.time
def wrong():
    try:
        with open({path!r}) as file:
            return now() + float(file.read() or 0)
    except FileNotFoundError:
        return now()
time.time = wrong
"""


@pytest.mark.parametrize("seconds", [-3600.0, pytest.param(10 * 365 * 86400.0, marks=pytest.mark.soak)])
def test_fleet_survives_system_clock_change(trial: Trial, seconds: float) -> None:
    trial.reset_fleet()
    clock = trial.rig.folder / "clock"
    code = CLOCK.format(path=str(clock))
    trial.mutate({"supervisor": code, "client": code})
    try:
        before = at_rest(trial)
        clock.write_text(str(seconds))
        end(trial.living("A")[-1])
        trial.rig.until(lambda: len(trial.lives("A")) == 2)
        trial.settle("ABC")
        code_of, told = trial.run("timeline")
        assert code_of == 0, told
        trial.kill_supervisor()
        trial.up()
        trial.settle("ABC")
        assert lived(trial) == before | {"A": before["A"] + 1}
        code_of, told = trial.run("down")
        assert sorted(told["stopped"]) == ["A", "B", "C"]
    finally:
        trial.mutate({})
        clock.unlink(missing_ok=True)
        trial.reset_fleet()
