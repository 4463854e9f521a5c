"""How soon an agent that was killed is missed, and how soon it is there again: by argosy, and by others.

`python bench/supervise.py [--json] [--quick]`; needs `argosy[bench]`. The method is in bench/README.md.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec

from argosy.fault import MissingError
from launchers import Launcher
from launchers.by_argosy import ArgosyLauncher
from launchers.by_daemon import CIRCUS, PM2, SUPERVISORD, DaemonLauncher
from launchers.npm import install_pm2
from testbed.bytecode_warmup import compile_packages
from testbed.fleet_environment import FleetEnvironment
from testbed.fleet_files import MINIMAL_AGENT, FleetFiles, temporary_fleets_like
from testbed.host_info import this_machine
from testbed.kill_latency import KillLatency, measure_kill, measure_recovery_ms
from testbed.result import Ratio, Result, Value, p99_of, ratio_of, value_of
from testbed.runner import Options, interleave, log_progress, run_bench
from testbed.start_measurement import measure_start

PACKAGES = ("argosy", "msgspec", "zmq", "yaml", "setproctitle", "uvloop", "supervisor", "circus", "tornado")
WARM = "processes"
SPAWNED = "spawned"
# Peers spawn what they start; with more agents beside those that are killed they would only be slower.
PEERS_AGENTS = 12
# An agent that was ready is started again at once the first time it dies; later it waits for its backoff.
QUICK_KILLS = {WARM: 84, "supervisord": 4, "pm2": 6}
FULL_KILLS = {WARM: 84, SPAWNED: PEERS_AGENTS, "supervisord": 6, "pm2": PEERS_AGENTS, "circus": 3}
PATIENCE_S = 20.0
GOAL_NOTICED_MS = 3.0
GOAL_READY_MS = 12.0
GOAL_PM2 = 9.0
GOAL_SUPERVISORD = 100.0

METHOD = [
    "agents (bench/agents/minimal.py) that run; one after the other gets SIGKILL, the last to start first",
    f"{PEERS_AGENTS} agents; processes: 84, each killed once, so that a 99th percentile is one",
    "noticed, ready_again: until another client of the supervisor is told that it is gone, that it is ready",
    "exited: until the kernel has ended the process, the floor of `noticed`; noticed_after_exit: the rest",
    "answers_again: until a plain REQ socket that asks each millisecond has an `ok` from its next process",
    "pm2/processes and so on: the median answers_again of either side in the same round",
    "processes: forked from a zygote; spawned: the same agents, with `preload: none`",
    "an agent is killed once a start, so that no backoff is in the figures",
    "50 ms pass before each kill, so that what was asked of the supervisor, and the last start, are over",
]


class Entry(NamedTuple):
    """A way, the fleet file it is given, how many of its agents are killed."""

    launcher: Launcher
    fleet: Path
    kills: int


class SuperviseResults(msgspec.Struct, frozen=True):
    """What the rounds brought, by way. told: of argosy's own words. answers_ms: by round, one a kill."""

    kill_latencies: dict[str, list[KillLatency]]
    answers_ms: dict[str, list[list[float]]]
    unavailable: dict[str, str]


def measure(options: Options) -> Result:
    """Run the rounds and return what they found."""
    machine = this_machine()
    compile_packages(PACKAGES)
    results = SuperviseResults(defaultdict(list), defaultdict(list), {})
    with (
        temporary_fleets_like(options.fleet, MINIMAL_AGENT) as many,
        temporary_fleets_like(options.fleet, MINIMAL_AGENT, PEERS_AGENTS) as few,
    ):
        entries = list_entries(options, many, few, results.unavailable)
        for number, entry in interleave(options.rounds, entries, options.deadline_s):
            measure_entry(entry, results)
            log_progress(f"round {number + 1} of {options.rounds}, {entry.launcher.name}")
    return Result(
        name="supervise",
        machine=machine,
        ratios=ratios(results),
        values=values(results),
        skipped=results.unavailable,
        method=METHOD,
    )


def list_entries(
    options: Options, many: FleetFiles, few: FleetFiles, unavailable: dict[str, str]
) -> list[Entry]:
    """Return the ways to take; those that are left out go to `absent` with the reason."""
    assert few.spawned is not None, "these fleets have one"
    kills = QUICK_KILLS if options.quick else FULL_KILLS
    launchers: list[tuple[Launcher, Path]] = [
        (ArgosyLauncher(WARM), many.processes),
        (ArgosyLauncher(SPAWNED), few.spawned),
    ]
    launchers += [(DaemonLauncher(each), few.processes) for each in (SUPERVISORD, PM2, CIRCUS)]
    unavailable |= {
        f"supervise.{launcher.name}": "--quick" for launcher, _ in launchers if launcher.name not in kills
    }
    if not options.quick:
        with contextlib.suppress(MissingError):  # its start says the same
            install_pm2()
    return [
        Entry(launcher, path, kills[launcher.name]) for launcher, path in launchers if launcher.name in kills
    ]


def measure_entry(entry: Entry, results: SuperviseResults) -> None:
    """Start the fleet once and kill its agents, the last to start first."""
    name = entry.launcher.name
    if f"supervise.{name}" in results.unavailable:
        return
    answers_ms: list[float] = []

    def while_up(fleet_env: FleetEnvironment) -> None:
        victims = fleet_env.graph.stop_order()[: entry.kills]
        if isinstance(entry.launcher, ArgosyLauncher):
            told, victims = victims[::2], victims[1::2]
            results.kill_latencies[name].extend(measure_kill(fleet_env, victim) for victim in told)
        answers_ms.extend(measure_recovery_ms(fleet_env, victim) for victim in victims)

    try:
        measure_start(entry.launcher, entry.fleet, PATIENCE_S, while_up)
    except MissingError as error:
        if isinstance(entry.launcher, ArgosyLauncher):
            raise
        results.unavailable[f"supervise.{name}"] = error.faults[0].message
        return
    results.answers_ms[name].append(answers_ms)


def ratios(results: SuperviseResults) -> dict[str, Ratio]:
    """Return how much later others have their agents back."""
    found = {}
    ours = [statistics.median(each) for each in results.answers_ms[WARM]]
    for name, goal in (("pm2", GOAL_PM2), ("supervisord", GOAL_SUPERVISORD)):
        theirs = [statistics.median(each) for each in results.answers_ms.get(name, ())]
        if theirs:
            both = list(zip(theirs, ours, strict=False))
            label = f"supervise.{name}/{WARM}"
            left, right = [pair[0] for pair in both], [pair[1] for pair in both]
            found[label] = ratio_of(left, right, goal=goal, unit="ms", better="higher")
    return found


def values(results: SuperviseResults) -> dict[str, Value]:
    """Return what the supervisor tells and when, and when each way's agents answer again."""
    found: dict[str, Value] = {}
    for name, wounds in results.kill_latencies.items():
        is_warm = name == WARM
        noticed, ready = [each.noticed_ms for each in wounds], [each.ready_again_ms for each in wounds]
        found[f"supervise.{name}.exited"] = value_of([each.exited_ms for each in wounds], "ms")
        found[f"supervise.{name}.exited_p99"] = p99_of([each.exited_ms for each in wounds], "ms")
        after_ms = [each.noticed_ms - each.exited_ms for each in wounds]
        found[f"supervise.{name}.noticed_after_exit"] = value_of(after_ms, "ms")
        found[f"supervise.{name}.noticed_after_exit_p99"] = p99_of(after_ms, "ms")
        found[f"supervise.{name}.noticed"] = value_of(noticed, "ms")
        found[f"supervise.{name}.noticed_p99"] = p99_of(noticed, "ms", goal=GOAL_NOTICED_MS)
        found[f"supervise.{name}.ready_again"] = value_of(ready, "ms")
        goal = GOAL_READY_MS if is_warm else None
        found[f"supervise.{name}.ready_again_p99"] = p99_of(ready, "ms", goal=goal)
    for name, rounds in results.answers_ms.items():
        found[f"supervise.{name}.answers_again"] = value_of(list(itertools.chain(*rounds)), "ms")
    return found


if __name__ == "__main__":
    sys.exit(run_bench("supervise", (__doc__ or "").partition("\n")[0], measure))
