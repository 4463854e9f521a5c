"""Compares how soon argosy and other supervisors notice a killed agent and have it running again.

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
# Other supervisors spawn their agents; more agents beside the killed ones would only slow them down.
PEERS_AGENTS = 12
# An agent that was ready restarts at once the first time it exits; later restarts wait for the backoff.
QUICK_KILLS = {WARM: 84, "supervisord": 4, "pm2": 6}
FULL_KILLS = {WARM: 84, SPAWNED: PEERS_AGENTS, "supervisord": 6, "pm2": PEERS_AGENTS, "circus": 3}
PATIENCE_S = 20.0
GOAL_NOTICED_MS = 3.0
GOAL_READY_MS = 12.0
GOAL_PM2 = 9.0
GOAL_SUPERVISORD = 100.0

METHOD = [
    "running agents (bench/agents/minimal.py) get SIGKILL one after another, the last to start first",
    f"{PEERS_AGENTS} agents; processes: 84, each killed once, which is enough for a 99th percentile",
    "noticed, ready_again: until another client of the supervisor receives the exit, the readiness",
    "exited: until the kernel has ended the process, the floor of `noticed`; noticed_after_exit: the rest",
    "answers_again: until the next process answers `ok` to a plain REQ socket that asks every millisecond",
    "pm2/processes and so on: the median answers_again of both sides in the same round",
    "processes: forked from a zygote; spawned: the same agents, with `preload: none`",
    "an agent is killed once per start, so that no backoff is measured",
    "50 ms pass before each kill, so that earlier requests to the supervisor and starts have finished",
]


class Entry(NamedTuple):
    """A launcher, its fleet file, and how many of its agents are killed."""

    launcher: Launcher
    fleet: Path
    kills: int


class SuperviseResults(msgspec.Struct, frozen=True):
    """The results by launcher. kill_latencies: from argosy's reports. answers_ms: per round, one per kill."""

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
    """Return the launchers to measure; add the others to `unavailable` with the reason."""
    assert few.spawned is not None, "temporary fleets have a spawned file"
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
        with contextlib.suppress(MissingError):  # its start reports the same error
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

    def on_ready(fleet_env: FleetEnvironment) -> None:
        agents = fleet_env.graph.stop_order()[: entry.kills]
        if isinstance(entry.launcher, ArgosyLauncher):
            reported, agents = agents[::2], agents[1::2]
            results.kill_latencies[name].extend(measure_kill(fleet_env, agent) for agent in reported)
        answers_ms.extend(measure_recovery_ms(fleet_env, agent) for agent in agents)

    try:
        measure_start(entry.launcher, entry.fleet, PATIENCE_S, on_ready)
    except MissingError as error:
        if isinstance(entry.launcher, ArgosyLauncher):
            raise
        results.unavailable[f"supervise.{name}"] = error.faults[0].message
        return
    results.answers_ms[name].append(answers_ms)


def ratios(results: SuperviseResults) -> dict[str, Ratio]:
    """Return how much longer the others take until their agents answer again."""
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
    """Return the times of the supervisor's reports, and when each launcher's agents answer again."""
    found: dict[str, Value] = {}
    for name, latencies in results.kill_latencies.items():
        is_warm = name == WARM
        noticed, ready = [each.noticed_ms for each in latencies], [each.ready_again_ms for each in latencies]
        found[f"supervise.{name}.exited"] = value_of([each.exited_ms for each in latencies], "ms")
        found[f"supervise.{name}.exited_p99"] = p99_of([each.exited_ms for each in latencies], "ms")
        after_ms = [each.noticed_ms - each.exited_ms for each in latencies]
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
