"""Each protection of the engine in the race that it prevents; without it the same race must fail.

A protection that is taken out (in the processes of the test, before they begin) and missed by nobody
would prove that the tests of this folder look at the wrong thing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from argosy.engine.protocol.messages import Stop
from rig.fleet import Rig, is_alive
from rig.trial import FLEET, TRAPS, Point, Trial, end

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

POINTS = {
    "before its lease": Point("child_setup._take_lease", "call", ("forker",), "pause"),
    "before its record": Point("lease.write_record", "call", ("forker",), "pause"),
    "before its end": Point("pidfd_process.PidfdProcess.terminate"),
    "before the first is adopted": Point("process_backend.OwnProcess.adopt_survivor", do="pause"),
}


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """A fleet that each case begins anew."""
    folder = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    (folder / "r").mkdir(mode=0o700)
    made = Trial(Rig(folder, folder / "r"), POINTS)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def paused_start(trial: Trial, point: str) -> int:
    """Kill A, and the supervisor when the next A is stopped at `point`; return that process."""
    trial.arm(point)
    end(trial.living("A")[-1])
    late = trial.await_triggered(point)
    trial.kill_supervisor()
    return late


def resume(trial: Trial, late: int) -> None:
    """Let a stopped start go on, and wait until it has ended or its program has begun."""
    end(late, signal.SIGCONT)
    trial.rig.until(lambda: not is_alive(late) or late in trial.lives("A"))


def lasting_faults(trial: Trial, agents: str) -> list[str]:
    """Return what is wrong, and stays so: the end of a forker takes a moment."""
    try:
        trial.settle(agents, 3)
    except AssertionError as error:
        return [str(error)]
    return []


def handed_over(trial: Trial, point: str, agents: str = "ABC") -> list[str]:
    """One start in the hands of two supervisors, then a third."""
    late = paused_start(trial, point)
    trial.up()
    resume(trial, late)
    trial.kill_supervisor()
    trial.up()
    return lasting_faults(trial, agents)


def late_writer(trial: Trial) -> list[str]:
    return handed_over(trial, "before its record")


def closed_lease(trial: Trial) -> list[str]:
    return handed_over(trial, "before its lease")


def down_meanwhile(trial: Trial) -> list[str]:
    late = paused_start(trial, "before its lease")
    code, told = trial.run("down")
    assert code == 0, told
    resume(trial, late)
    return [f"{name}: {trial.living(name)} live after `down`" for name in "ABC" if trial.living(name)]


def killed(trial: Trial) -> list[str]:
    before = {name: trial.living(name) for name in "ABC"}
    trial.kill_supervisor()
    trial.up()
    after = {name: trial.living(name) for name in "ABC"}
    return lasting_faults(trial, "ABC") + ([] if before == after else [f"{before} became {after}"])


def half_stopped(trial: Trial) -> list[str]:
    trial.arm("before its end")
    with trial.tell(Stop(names=["C"])):
        trial.await_triggered("before its end")
    code, told = trial.run("down", "--only", "B")
    assert code == 0, told
    trial.rig.until(lambda: not trial.living("B"))
    return lasting_faults(trial, "A")


def second_supervisor(trial: Trial) -> list[str]:
    first = trial.report().pid
    ready, ready_in = os.pipe()
    words = [sys.executable, TRAPS, trial.traps, "--supervisor", trial.path, "toy", str(ready_in)]
    with subprocess.Popen(words, env=trial.rig.env, pass_fds=[ready_in], start_new_session=True) as second:
        os.close(ready_in)
        with open(ready, "rb") as file:
            told = file.read()
        found = [] if b'"already-running"' in told else [f"a second one began: {told!r}"]
        found += [] if trial.report().pid == first else ["another rules"]
        if found:
            second.kill()
    return found


def stopped_forker(trial: Trial) -> list[str]:
    old = trial.forkers()
    for pid in old:
        end(pid, signal.SIGSTOP)
    trial.kill_supervisor()
    trial.up()
    return lasting_faults(trial, "ABC")


def early_client(trial: Trial) -> list[str]:
    trial.kill_supervisor()
    trial.arm("before the first is adopted")
    with trial.start("up", "-d") as up:
        paused = trial.await_triggered("before the first is adopted")
        found = ["a client met it before it had adopted"] if trial.is_listening() else []
        end(paused, signal.SIGCONT)
        up.communicate(timeout=20)
    return found + lasting_faults(trial, "ABC")


CLOSING = FLEET.replace("start: spawn", "start: spawn, args: [closing]")
# What happens, the fleet, and the protection taken out of a kind of process.
CASES: dict[str, tuple[Callable[[Trial], list[str]], str, dict[str, str]]] = {
    "the lock of a lease": (
        late_writer,
        FLEET,
        {
            "forker": "import argosy.engine.fork.child_setup as b; b.try_lock_within = lambda *_: True",
            # The next supervisor would find it in /proc, which is to be a second line behind the lock.
            "supervisor": """
import argosy.engine.supervisor.unit_set as c
c.UnitSet.adopt_leftovers = lambda *_, is_new_state_dir: None
""",
        },
    ),
    "the look at the recorded process": (
        closed_lease,
        CLOSING,
        {"forker": "import argosy.engine.fork.child_setup as b; b.open_process = lambda _: None"},
    ),
    "the look at the generation": (
        down_meanwhile,
        FLEET,
        {
            "forker": """
import argosy.engine.fork.child_setup as b
take = b._take_lease
def unlooked(spawn_request, boot):
    b.read_generation = lambda _: spawn_request.generation
    return take(spawn_request, boot)
b._take_lease = unlooked
"""
        },
    ),
    "the raise of the generation": (
        down_meanwhile,
        FLEET,
        {
            "supervisor": """
import os
import argosy.engine.supervisor.entrypoint as s
rise = s.raise_generation
s.raise_generation = lambda lock: int(os.pread(lock, 20, 0) or 0) or rise(lock)
"""
        },
    ),
    "the adoption": (
        killed,
        FLEET,
        {
            "supervisor": """
import argosy.engine.unit.process_backend as c
c.OwnProcess.adopt_survivor = lambda *_: False
"""
        },
    ),
    "the wish that is written before the end": (
        half_stopped,
        FLEET,
        {
            "supervisor": """
import argosy.engine.state.unit_state_store as w
w.UnitStateStore.write = lambda *_: False
"""
        },
    ),
    "the lock of the supervisor": (
        second_supervisor,
        FLEET,
        {
            "supervisor": """
import argosy.engine.supervisor.entrypoint as s
from argosy.engine.process.lease import open_lease
s.acquire_lock = lambda path, _: open_lease(path)
"""
        },
    ),
    "the end of orphans": (
        stopped_forker,
        FLEET,
        {"supervisor": "import argosy.engine.fork.launcher as n; n.kill_stale_forkers = lambda _: []"},
    ),
    "the late name of the control socket": (
        early_client,
        FLEET,
        {
            "supervisor": """
import argosy.engine.control.control_server as c
bind, publish = c.ControlServer.bind, c.ControlServer.publish
async def early(self):
    await bind(self)
    publish(self)
c.ControlServer.bind, c.ControlServer.publish = early, lambda self: None
"""
        },
    ),
}


def happens(trial: Trial, case: str, *, is_mutant: bool) -> list[str]:
    """Return what is wrong after a case, with its protection or without."""
    happening, fleet, mutants = CASES[case]
    trial.reset_fleet()
    trial.rig.write(fleet)
    trial.mutate(mutants if is_mutant else {})
    trial.up()
    trial.settle("ABC")
    return happening(trial)


def cases(*in_the_gate: str) -> list[ParameterSet]:
    return [pytest.param(case, marks=() if case in in_the_gate else pytest.mark.soak) for case in CASES]


@pytest.mark.parametrize(
    "case",
    cases(
        "the lock of a lease",
        "the look at the recorded process",
        "the look at the generation",
        "the wish that is written before the end",
    ),
)
def test_protection_prevents_its_fault(trial: Trial, case: str) -> None:
    assert happens(trial, case, is_mutant=False) == []


@pytest.mark.parametrize("case", cases("the lock of a lease", "the raise of the generation", "the adoption"))
def test_fault_occurs_without_its_protection(trial: Trial, case: str) -> None:
    assert happens(trial, case, is_mutant=True) != []
