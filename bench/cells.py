"""Measures a thousand agents in cells: start, idle use, recovery after a kill, and stop.

`python bench/cells.py [--json] [--quick]`; needs `argosy[bench]`. The method is in bench/README.md.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from launchers.by_argosy import ArgosyLauncher
from testbed.bytecode_warmup import compile_packages
from testbed.fleet_environment import FleetEnvironment
from testbed.host_info import Machine, this_machine
from testbed.kill_latency import KillLatency, measure_kill
from testbed.process_usage import processor_s_now
from testbed.result import Ratio, Result, Value, ratio_of, value_of
from testbed.runner import Options, interleave, log_progress, run_bench
from testbed.start_measurement import StartMeasurement, measure_start

PACKAGES = ("argosy", "msgspec", "zmq", "yaml", "setproctitle")
MANY, FEW = 1000, 250
CELLS = 8
NEEDERS = 8  # of each agent, so that the levels are five
FIRST_PORT = 14000
REST_S = 5.0
PATIENCE_S = 10.0

GOAL_GROWTH = MANY / FEW
GOAL_THREADS = 4 * CELLS + 4  # of a cell: its loop, its watchdog, two of its context; supervisor and forkers
GOAL_CONTEXTS = CELLS
GOAL_REST = 0.003 / 84  # of a core, for the engine, per idle agent

AGENTS = """from argosy.agent import Agent, request


class Plain(Agent):
    @request
    async def say(self, text: str) -> str:
        return text
"""

METHOD = [
    f"{MANY} agents, each with a port, in {CELLS} cells; each is needed by {NEEDERS} others in any cell",
    "wall: from `argosy up -d` until each agent has answered `ok` to a plain REQ socket, from nothing",
    f"{MANY}_agents/{FEW}_agents: the same with fewer agents in as many cells, in the same round",
    f"rest: processor seconds per second without requests, over {REST_S:g} s; 1 is a core",
    "noticed: SIGKILL of a cell until a client hears that its first agent exited; ready_again: last is ready",
    "PSS (smaps_rollup), threads, contexts, descriptors: of all processes, the supervisor included",
]


class IdleUsage(msgspec.Struct, frozen=True):
    """The share of a core used while idle, by the supervisor and by all processes."""

    supervisor: float
    everything: float


class Findings(msgspec.Struct, frozen=True):
    """The results of all rounds. starts: by the number of agents."""

    starts: dict[int, list[StartMeasurement]]
    rests: list[IdleUsage]
    wounds: list[KillLatency]


def measure(options: Options) -> Result:
    """Run the rounds and return what they found."""
    machine = this_machine()
    compile_packages(PACKAGES)
    with fleets() as paths:
        results = find(options, paths)
    return Result(
        name="cells",
        machine=machine,
        ratios=ratios(results),
        values=values(results, machine),
        skipped={},
        method=METHOD,
    )


@contextlib.contextmanager
def fleets() -> Iterator[dict[int, Path]]:
    """Yield the fleet files, by their number of agents."""
    with tempfile.TemporaryDirectory(prefix="ac-", dir="/tmp") as folder:
        yield {count: write_fleet(Path(folder, str(count)), count) for count in (MANY, FEW)}


def write_fleet(folder: Path, count: int) -> Path:
    """Write a fleet of `count` agents and return its file."""
    folder.mkdir()
    (folder / "agents.py").write_text(AGENTS)
    rows = [
        f"  A{at}: {{run: 'agents:Plain', cell: c{at % CELLS}, port: {FIRST_PORT + at}, "
        f"needs: [{f'A{(at - 1) // NEEDERS}' if at else ''}]}}"
        for at in range(count)
    ]
    path = folder / "fleet.yaml"
    path.write_text("fleet: many\nagents:\n" + "\n".join(rows) + "\n")
    return path


def find(options: Options, paths: dict[int, Path]) -> Findings:
    """Start each fleet in each round; measure the idle use of the larger one and kill one of its cells."""
    results = Findings(defaultdict(list), [], [])

    def sample(fleet_env: FleetEnvironment) -> None:
        results.rests.append(measure_idle())
        results.wounds.append(measure_kill(fleet_env, "A1"))

    for number, count in interleave(options.rounds, (MANY, FEW), options.deadline_s):
        start = measure_start(
            ArgosyLauncher("cells"), paths[count], PATIENCE_S, sample if count == MANY else None
        )
        results.starts[count].append(start)
        told = f"{count} agents: {start.wall_s:.2f} s, disturbed {start.disturbance:.0%}"
        log_progress(f"round {number + 1} of {options.rounds}, {told}")
    return results


def measure_idle() -> IdleUsage:
    """Return the processor use of the fleet's processes without requests."""
    before = processor_s_now()
    time.sleep(REST_S)
    taken = {name: seconds - before.get(name, 0.0) for name, seconds in processor_s_now().items()}
    supervisor = sum(seconds for (_, title), seconds in taken.items() if "supervisor" in title)
    return IdleUsage(supervisor / REST_S, sum(taken.values()) / REST_S)


def ratios(results: Findings) -> dict[str, Ratio]:
    """Return how time and processor time grow with the number of agents."""
    many, few = results.starts[MANY], results.starts[FEW]
    return {
        f"cells.{MANY}_agents/{FEW}_agents": ratio_of(
            [each.wall_s for each in many], [each.wall_s for each in few], goal=GOAL_GROWTH, unit="s"
        ),
        f"cells.{MANY}_agents_cpu/{FEW}_agents_cpu": ratio_of(
            [each.usage.processor_s for each in many],
            [each.usage.processor_s for each in few],
            goal=GOAL_GROWTH,
            unit="s",
        ),
    }


def values(results: Findings, machine: Machine) -> dict[str, Value]:
    """Return the values of the larger fleet."""
    starts = results.starts[MANY]
    weights = [each.usage for each in starts]
    floors = [each.processor_s / machine.cores for each in weights]
    return {
        "cells.wall": value_of([each.wall_s for each in starts], "s"),
        "cells.disturbance": value_of([each.disturbance for each in starts], "of the machine"),
        "cells.processor": value_of([each.processor_s for each in weights], "s"),
        "cells.processor_floor": value_of(floors, "s"),
        "cells.pss": value_of([each.pss_mib for each in starts], "MiB"),
        "cells.processes": value_of([each.processes for each in weights], "processes"),
        "cells.threads": value_of([each.threads for each in weights], "threads", goal=GOAL_THREADS),
        "cells.contexts": value_of([each.contexts for each in weights], "contexts", goal=GOAL_CONTEXTS),
        "cells.descriptors": value_of([each.descriptors for each in weights], "descriptors"),
        "cells.rest.supervisor": value_of(
            [each.supervisor for each in results.rests], "cores", goal=GOAL_REST * MANY
        ),
        "cells.rest.everything": value_of([each.everything for each in results.rests], "cores"),
        "cells.noticed_ms": value_of([each.noticed_ms for each in results.wounds], "ms"),
        "cells.ready_again_ms": value_of([each.ready_again_ms for each in results.wounds], "ms"),
    }


if __name__ == "__main__":
    sys.exit(run_bench("cells", (__doc__ or "").partition("\n")[0], measure))
