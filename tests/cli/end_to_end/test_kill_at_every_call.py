"""The supervisor is killed before each of its calls that has an effect outside of its process.

Between two such calls a kill leaves the same world as before the second: so this is a kill at every moment of
an agent's end and start, of a stop, and of an adoption. The calls are those that a supervisor made when
nobody disturbed it, each place up to three times; some come before what they are of, by a beat of an agent.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from argosy.engine.control.control_client import SupervisorLostError
from argosy.engine.protocol.messages import Stop
from rig.fleet import Rig
from rig.trial import Point, Trial, end

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
_TIMES = 3


@pytest.fixture
def trial() -> Iterator[Trial]:
    """A fleet that runs."""
    folder = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    (folder / "r").mkdir(mode=0o700)
    made = Trial(Rig(folder, folder / "r"), {})
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def at_rest(trial: Trial) -> None:
    trial.up()
    trial.settle("ABC")


def crash(trial: Trial) -> None:
    """An agent ends, and is started again."""
    end(trial.living("A")[-1])


def stop(trial: Trial) -> None:
    """One is stopped."""
    with contextlib.suppress(SupervisorLostError), trial.tell(Stop(names=["C"])):
        pass


def next_supervisor(trial: Trial) -> None:
    """The supervisor is killed, and `up` starts the next."""
    with contextlib.suppress(SupervisorLostError):
        trial.kill_supervisor()
    trial.up()


def await_restart(trial: Trial) -> None:
    trial.settle("ABC")


def await_stop(trial: Trial) -> None:
    trial.settle("AB")


def calls_of(
    trial: Trial, happens: Callable[[Trial], None], await_it: Callable[[Trial], None]
) -> list[Point]:
    """Return a point before each call that a supervisor makes from then on until all is well again."""
    trial.note_calls()
    if happens is not next_supervisor:
        trial.kill_supervisor()
        at_rest(trial)
    before = 0 if happens is next_supervisor else len(trial.noted_calls())
    happens(trial)
    await_it(trial)
    times: Counter[str] = Counter()
    found = []
    for place in trial.noted_calls()[before:]:
        if place.startswith("process.") and place.endswith((" open", " read")):
            continue  # a look into /proc, as often as there are processes
        times[place] += 1
        if times[place] <= _TIMES:
            found.append(Point(place, "c_call", nth=times[place]))
    return found


@pytest.mark.parametrize(
    ("happens", "await_it"), [(crash, await_restart), (stop, await_stop), (next_supervisor, await_restart)]
)
def test_fleet_recovers_from_supervisor_kill_before_every_call(
    trial: Trial, happens: Callable[[Trial], None], await_it: Callable[[Trial], None]
) -> None:
    at_rest(trial)
    points = calls_of(trial, happens, await_it)
    assert len(points) > 20, points
    trial.watch({f"point {number}": point for number, point in enumerate(points)})
    trial.kill_supervisor()
    missed = []
    for number, point in enumerate(points):
        at_rest(trial)
        before = {name: len(trial.lives(name)) for name in "ABC"}
        trial.arm(f"point {number}")
        happens(trial)
        try:
            trial.rig.until(lambda number=number: trial.triggered(f"point {number}") is not None, 1)  # type: ignore[misc]
        except AssertionError:
            missed.append(str(point))  # another order of events, by chance
        trial.disarm()
        at_rest(trial)
        lived = {name: len(trial.lives(name)) - before[name] for name in "ABC"}
        again = {crash: ("A",), stop: ("C",)}.get(happens, ())
        assert all(0 <= lived[name] <= (name in again) for name in "ABC"), (str(point), lived)
    assert len(missed) <= len(points) // 5, missed
