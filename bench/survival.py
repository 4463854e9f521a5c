"""Checks that exactly the wanted agents run, once each, while engine and agents are killed at random.

`python bench/survival.py [--json] [--quick] [--seconds N]`; needs `argosy[bench]` and the tests beside it.
See bench/README.md.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from argosy.fault import Fault, RefusedError
from testbed.host_info import this_machine
from testbed.result import Result, Value, count_of, p99_of, value_of
from testbed.runner import Options, log_progress, run_bench

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from rig.fleet import Rig
from rig.ordeal import AMBUSHES, NAMES, Ordeal, OrdealError
from rig.steps import POINTS
from rig.trial import Trial

FULL_S = 300.0
QUICK_S = 20.0
SEED = 20240229
# The weight of each event, in percent.
WEIGHTS = {
    "ambush": 30,
    "crash": 20,
    "kill_supervisor": 15,
    "up": 10,
    "kill_forkers": 8,
    "change": 7,
    "stop": 5,
    "remove": 3,
    "down": 2,
}

METHOD = [
    "a fleet of three or four agents, spawned and forked from a zygote, in a folder of its own",
    "an event at random: an agent, the supervisor, or the forker and the zygotes killed (SIGKILL); an "
    "ambush: the first engine process that reaches a named step is killed there; `up`, `down`, "
    "one agent stopped, one changed in the file, added or removed",
    "checked after each event by the agents' own files and locks and by /proc: exactly the wanted agents "
    "run, each was started as often as expected, never two at once; status, or without a supervisor the "
    "leases, names these processes; no forker but the supervisor's own is left",
    "wrong: an event after which a check failed for 15 s; the run ends with the first",
    "settled: from `up` after a supervisor was killed until all checks pass, the next one's start included",
]


def measure(options: Options) -> Result:
    """Inject faults at random and count them."""
    machine = this_machine()
    seconds = options.seconds or (QUICK_S if options.quick else FULL_S)
    folder = Path(tempfile.mkdtemp(prefix="argosy-s-", dir="/tmp"))
    (folder / "r").mkdir(mode=0o700)
    trial = Trial(Rig(folder, folder / "r"), POINTS)
    try:
        values = _run_until(Ordeal(trial), seconds)
    finally:
        trial.close()
        shutil.rmtree(folder)
    return Result(name="survival", machine=machine, ratios={}, values=values, skipped={}, method=METHOD)


def _run_until(chaos_run: Ordeal, seconds: float) -> dict[str, Value]:
    chance = random.Random(SEED)
    settled_ms: list[float] = []
    ends_s = time.monotonic() + seconds
    passed: list[str] = []
    chaos_run.up()
    while time.monotonic() < ends_s:
        (what,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        passed.append(what)
        is_orphan = what == "up" and not chaos_run.has_supervisor and bool(chaos_run.runs)
        began_s = time.monotonic()
        try:
            _inject_fault(chaos_run, what, chance)
        except OrdealError as error:
            words = f"after {len(passed)} events, the last {', '.join(passed[-8:])}: {error}"
            raise RefusedError(Fault("", "survival", words)) from error
        if is_orphan:
            settled_ms.append(1000 * (time.monotonic() - began_s))
    chaos_run.note_ambush()
    log_progress(f"{len(passed)} events in {seconds:g} s")
    return _values(chaos_run, len(passed), settled_ms)


def _inject_fault(chaos_run: Ordeal, what: str, chance: random.Random) -> None:
    agent = chance.choice(NAMES)
    match what:
        case "ambush":
            chaos_run.ambush(chance.choice(AMBUSHES))
        case "crash":
            chaos_run.crash(agent)
        case "stop":
            chaos_run.stop(agent)
        case "change":
            chaos_run.change(agent)
            chaos_run.up()
        case "remove":
            chaos_run.remove(chance.choice(NAMES[1:]))
            chaos_run.up()
        case _:
            getattr(chaos_run, what)()


def _values(chaos_run: Ordeal, events: int, settled_ms: list[float]) -> dict[str, Value]:
    found = {
        f"survival.{name.replace(' ', '_')}": count_of(n, "") for name, n in sorted(chaos_run.events.items())
    }
    found["survival.events"] = count_of(events, "")
    found["survival.events_after_which_something_was_wrong"] = count_of(0, "", goal=0)
    found["survival.steps_at_which_somebody_was_killed"] = count_of(
        len(chaos_run.steps), f"of {len(AMBUSHES)}"
    )
    if settled_ms:
        found["survival.settled_ms"] = value_of(settled_ms, "ms")
        found["survival.settled_p99_ms"] = p99_of(settled_ms, "ms")
    return found


if __name__ == "__main__":
    sys.exit(run_bench("survival", (__doc__ or "").partition("\n")[0], measure, is_timed=True))
