"""Compares how long argosy and other launchers take to start the same 84 agents.

`python bench/start.py [--json] [--quick]`; needs `argosy[bench]`. The method is in bench/README.md.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from argosy.fault import MissingError
from launchers import Launcher
from launchers.by_argosy import ArgosyLauncher, wait_until_memory_sampled
from launchers.by_daemon import CIRCUS, HONCHO, PM2, SUPERVISORD, DaemonLauncher
from launchers.by_program import forkserver_launcher, level_barrier_launcher, ray_launcher
from launchers.npm import install_pm2
from start_report.start_results import StartResults, StartSample
from start_report.start_rows import METHOD, ratios, skipped, values
from testbed.bytecode_warmup import compile_folder, compile_packages
from testbed.fleet_environment import FleetEnvironment, prepare_fleet
from testbed.fleet_files import FleetFiles, fleet_files_of, temporary_fleets_like
from testbed.health_polling import request_each
from testbed.host_info import this_machine
from testbed.process_usage import argosy_processor_s, pss_bytes_of_all
from testbed.result import Result
from testbed.runner import EXAMPLE, QUICK_S, Options, interleave, log_progress, run_bench
from testbed.start_measurement import measure_single_starts, measure_start

COMPILED_PACKAGES = (
    *("argosy", "msgspec", "zmq", "yaml", "setproctitle", "uvloop", "psutil", "pydantic", "pydantic_core"),
    *("supervisor", "circus", "tornado", "ray"),
)
QUICK_PORT_WAIT_S = 5.0
FULL_PORT_WAIT_S = 60.0
REST_S = 10.0
COLLECT = b'{"action":"collect"}'


class Entry(NamedTuple):
    """A way, the fleet file that it is given, and whether its agents are asked to collect their garbage."""

    launcher: Launcher
    fleet: Path
    collects: bool = False


def measure(options: Options) -> Result:
    """Run the rounds and return what they found."""
    machine = this_machine()
    compile_packages(COMPILED_PACKAGES)
    compile_folder(options.fleet.parent)
    with contextlib.ExitStack() as stack:
        is_example = options.fleet == EXAMPLE
        fleets = (
            stack.enter_context(temporary_fleets_like(EXAMPLE))
            if is_example
            else fleet_files_of(options.fleet)
        )
        results = measure_starts(options, fleets)
    late = skipped(results)
    done = len(results.starts["processes"])
    if done < options.rounds:
        late["start.rounds"] = (
            f"{done} of {options.rounds}: this machine is too busy for more in {QUICK_S:g} s"
        )
    return Result(
        name="start",
        machine=machine,
        ratios=ratios(results, machine),
        values=values(results, machine),
        skipped=late,
        method=METHOD,
    )


def measure_starts(options: Options, fleets: FleetFiles) -> StartResults:
    """Start the fleet by each launcher in each round; measure its idle use once, in argosy's first start.

    A quick run collects garbage in the first round only and skips the idle measurement.
    """
    patience_s = QUICK_PORT_WAIT_S if options.quick else FULL_PORT_WAIT_S
    with prepare_fleet(fleets.processes) as fleet_env:
        chain, agents = len(fleet_env.graph.longest_chain()), len(fleet_env.processes)
    alone_s = [] if options.quick else measure_single_starts(fleets.processes, patience_s)
    unavailable: dict[str, str] = {}
    entries = list_entries(options, fleets, unavailable)
    results = StartResults(defaultdict(list), unavailable, [], alone_s, chain, agents)
    for number, entry in interleave(options.rounds, entries, options.deadline_s):
        name = entry.launcher.name
        if name in unavailable:
            continue
        is_first = number == 0
        rest_s = REST_S if name == "processes" and is_first and not options.quick else 0.0
        entry = entry._replace(collects=entry.collects and (is_first or not options.quick))
        try:
            found = measure_entry(entry, patience_s, rest_s, results.idle_shares)
        except MissingError as error:
            if isinstance(entry.launcher, ArgosyLauncher) or not error.faults[0].code.startswith("no-"):
                raise
            unavailable[name] = error.faults[0].message
            continue
        results.starts[name].append(found)
        told = f"{name}: {found.start.wall_s:.2f} s, disturbed {found.start.disturbance:.0%}"
        log_progress(f"round {number + 1} of {options.rounds}, {told}")
    return results


def list_entries(options: Options, fleets: FleetFiles, unavailable: dict[str, str]) -> list[Entry]:
    """Return the launchers to measure; add the others to `unavailable` with the reason."""
    one, collects = fleets.processes, fleets.is_typical
    entries = [
        Entry(ArgosyLauncher("processes"), one, collects),
        Entry(level_barrier_launcher(), one, collects),
        Entry(ArgosyLauncher("processes_warm", is_warm=True), one),
    ]
    if fleets.cells:
        entries += [
            Entry(ArgosyLauncher("cells"), fleets.cells),
            Entry(ArgosyLauncher("cells_warm", is_warm=True), fleets.cells),
        ]
    else:
        unavailable |= dict.fromkeys(("cells", "cells_warm"), f"no cells.yaml beside {fleets.processes}")
    daemons = [DaemonLauncher(each) for each in (SUPERVISORD, CIRCUS, HONCHO, PM2)]
    peers: list[Launcher] = [forkserver_launcher(), *daemons, ray_launcher()]
    more = [Entry(launcher, one) for launcher in peers]
    if fleets.spawned:
        more.append(Entry(ArgosyLauncher("spawned"), fleets.spawned, collects))
        more += [
            Entry(ArgosyLauncher("example"), EXAMPLE),
            Entry(level_barrier_launcher("example_level_barrier"), EXAMPLE),
        ]
    else:
        unavailable |= dict.fromkeys(("spawned", "example", "example_level_barrier"), "--fleet")
    if options.quick:
        unavailable |= {entry.launcher.name: "--quick" for entry in more} | {"rest": "--quick"}
        return entries
    try:
        install_pm2()
    except MissingError as error:
        unavailable["pm2"] = error.faults[0].message
    return [*entries, *more]


def measure_entry(entry: Entry, patience_s: float, rest_s: float, rests: list[float]) -> StartSample:
    """Start the fleet once; unless `rest_s` is 0, add argosy's idle share of a core over it to `rests`."""
    collected: list[float] = []

    def on_ready(fleet_env: FleetEnvironment) -> None:
        if rest_s:
            wait_until_memory_sampled(fleet_env)
            before_s = argosy_processor_s()
            time.sleep(rest_s)
            rests.append((argosy_processor_s() - before_s) / rest_s)
        if entry.collects:
            request_each(fleet_env.ports, COLLECT)
            collected.append(pss_bytes_of_all() / 2**20)

    start = measure_start(entry.launcher, entry.fleet, patience_s, on_ready)
    return StartSample(start, collected[0] if collected else None)


if __name__ == "__main__":
    sys.exit(run_bench("start", (__doc__ or "").partition("\n")[0], measure))
