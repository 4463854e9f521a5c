"""The engine is killed at each of its steps: no agent runs twice, none is lost, no forker is left over.

A row is a step in the words of the design, the place in the code where it is, and what happens there.
After it `up` is asked for once more: what lives is adopted, what is missing started, and `status` is true.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rig.fleet import Rig
from rig.steps import ADOPT, AGENT, CONTROL, EXIT, EXIT_REPORTED, FORK, POINTS, READY, START, STOP, UP
from rig.trial import Trial, end

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """A fleet that runs; whatever a row has done to it, the next one finds it so."""
    folder = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    runtime = folder / "r"
    runtime.mkdir(mode=0o700)
    rig = Rig(folder, runtime)
    made = Trial(rig, POINTS)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def lived(trial: Trial) -> dict[str, int]:
    return {name: len(trial.lives(name)) for name in "ABC"}


def at_rest(trial: Trial) -> dict[str, int]:
    """Have the whole fleet up, and return how often each has lived."""
    trial.disarm()
    if not trial.is_up() or trial.faults("ABC"):
        trial.up()
        trial.settle("ABC")
    return lived(trial)


def restarts(trial: Trial, victim: str, row: str, *, is_child: bool = False) -> None:
    """Kill an agent, have the engine stopped at `row` over it, and `up` again: it has lived once more.

    is_child: it is a child of the living forker, and not adopted.
    """
    at_rest(trial)
    if is_child:
        end(trial.living(victim)[-1])
        trial.settle("ABC")
    before = lived(trial)
    trial.arm(row)
    end(trial.living(victim)[-1])
    trial.await_triggered(row)
    trial.up()
    trial.settle("ABC")
    before[victim] += 1
    assert lived(trial) == before


def rows(*tables: Iterable[str]) -> list[ParameterSet]:
    """Return the rows of some tables: each fourth for the gate, the others for `script/soak`."""
    return [
        pytest.param(row, marks=pytest.mark.soak if at % 4 else ()) for at, row in enumerate(chain(*tables))
    ]


@pytest.mark.parametrize("row", rows(START, READY, EXIT))
def test_agent_restart_survives_supervisor_kill(trial: Trial, row: str) -> None:
    restarts(trial, "A", row)


@pytest.mark.parametrize("row", rows(EXIT_REPORTED))
def test_agent_restart_survives_supervisor_kill_during_exit_report(trial: Trial, row: str) -> None:
    restarts(trial, "A", row, is_child=True)


@pytest.mark.parametrize(
    ("kind", "doing"),
    [
        ("forker", "orphan"),
        pytest.param("forker", "dies", marks=pytest.mark.soak),
        pytest.param("zygote", "orphan", marks=pytest.mark.soak),
        pytest.param("zygote", "dies", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize("row", rows(FORK, AGENT))
def test_agent_restart_survives_forker_kill_during_fork(
    trial: Trial, row: str, doing: str, kind: str
) -> None:
    at_rest(trial)
    if kind == "zygote":
        trial.await_zygote()
    restarts(trial, "A" if kind == "forker" else "B", f"{row}: {doing} {kind}")


@pytest.mark.parametrize("kind", ["forker", pytest.param("zygote", marks=pytest.mark.soak)])
@pytest.mark.parametrize("row", rows(FORK, AGENT))
def test_paused_start_that_resumes_under_next_supervisor_runs_once(trial: Trial, row: str, kind: str) -> None:
    before = at_rest(trial)
    if kind == "zygote":
        trial.await_zygote()
    victim = "A" if kind == "forker" else "B"
    trial.arm(f"{row}: pauses {kind}")
    end(trial.living(victim)[-1])
    late = trial.await_triggered(f"{row}: pauses {kind}")
    trial.kill_supervisor()
    with trial.start("up", "-d") as up:
        trial.rig.until(trial.is_up)  # it has adopted, and looks for what is missing
        end(late, signal.SIGCONT)
        out, err = up.communicate(timeout=30)
    assert up.returncode == 0, out + err
    trial.settle("ABC")
    before[victim] += 1
    assert lived(trial) == before


def test_supervisor_adopts_frozen_agent_after_crash(trial: Trial) -> None:
    before = at_rest(trial)
    still = trial.living("C")[-1]
    end(still, signal.SIGSTOP)
    try:
        trial.kill_supervisor()
        assert sorted(trial.up().adopted) == ["A", "B", "C"]
    finally:
        end(still, signal.SIGCONT)
    trial.settle("ABC")
    assert lived(trial) == before


@pytest.mark.parametrize("row", rows(STOP))
def test_stop_survives_supervisor_kill(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.arm(row)
    asked = trial.start("down", "--only", "C")
    trial.await_triggered(row)
    out, err = asked.communicate(timeout=20)
    assert asked.returncode == 0, out + err
    assert trial.living("C") == [], "the next supervisor was asked again"
    trial.up()
    trial.settle("ABC")
    before["C"] += 1
    assert lived(trial) == before


@pytest.mark.parametrize("row", rows(ADOPT))
def test_adoption_survives_supervisor_kill(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.kill_supervisor()
    trial.arm(row)
    code, told = trial.run("up", "-d")
    assert trial.triggered(row), "it never came to that step"
    assert code == 0, told
    assert sorted(told["adopted"]) == ["A", "B", "C"]
    trial.settle("ABC")
    assert lived(trial) == before


@pytest.mark.parametrize("row", rows(CONTROL))
def test_apply_survives_supervisor_kill(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.run("down")
    trial.arm(row)
    code, told = trial.run("up", "-d")
    assert trial.triggered(row), "it never came to that step"
    assert code == 0, told
    trial.up()
    trial.settle("ABC")
    assert lived(trial) == {name: count + 1 for name, count in before.items()}


@pytest.mark.parametrize("row", rows(UP))
def test_next_up_completes_after_up_is_killed(trial: Trial, row: str) -> None:
    before = at_rest(trial)
    trial.kill_supervisor()
    trial.arm(row)
    trial.run("up", "-d")
    assert trial.triggered(row), "it never came to that step"
    trial.up()
    trial.settle("ABC")
    assert lived(trial) == before
