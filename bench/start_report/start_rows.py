"""The rows of bench/start.py: the launchers compared, the quantity and the goal."""

from __future__ import annotations

from typing import NamedTuple

from start_report.start_results import Quantity, StartResults, StartSample
from testbed.host_info import Machine
from testbed.result import Ratio, Value, ratio_of, value_of
from testbed.start_measurement import StartMeasurement

GOAL_SPAWNED_FLOOR = 1.25
GOAL_CELLS_THREADS = 20
GOAL_CELLS_CONTEXTS = 20
GOAL_OWN_MS = 1.0
GOAL_REST = 0.003
GOAL_CELLS_MEMORY = 1 / 25
# Processor seconds of the level barrier on the machine where the goal of 1 ms was set; others may be slower.
BARRIER_S = 9.8
FLOOR = "processor_floor"


class Row(NamedTuple):
    """The ratio of two launchers by one quantity; lower is better."""

    left: str
    right: str
    quantity: Quantity
    goal: float

    @property
    def label(self) -> str:
        """The names of both sides."""
        return f"start.{self.left}{self.quantity.suffix}/{self.right}{self.quantity.suffix}"


ROWS = [
    Row("processes", "level_barrier", Quantity.WALL, 1 / 6),
    Row("processes_warm", "level_barrier", Quantity.WALL, 1 / 8),
    Row("processes", "level_barrier", Quantity.PROCESSOR, 1 / 11),
    Row("processes_warm", "level_barrier", Quantity.PROCESSOR, 1 / 11),
    Row("processes", "spawned", Quantity.PROCESSOR, 1 / 11),
    Row("processes_warm", "spawned", Quantity.PROCESSOR, 1 / 11),
    Row("processes", "level_barrier", Quantity.MEMORY_AFTER_GC, 1 / 3),
    Row("processes", "spawned", Quantity.MEMORY_AFTER_GC, 1 / 3),
    Row("processes", "forkserver", Quantity.WALL, 0.8),
    Row("processes", "supervisord", Quantity.WALL, 1 / 6),
    Row("processes", "circus", Quantity.WALL, 1 / 6),
    Row("processes", "honcho", Quantity.WALL, 1 / 6),
    Row("processes", "pm2", Quantity.WALL, 1 / 6),
    Row("processes", "ray", Quantity.WALL, 1 / 20),
    Row("cells", "level_barrier", Quantity.WALL, 1 / 25),
    Row("cells_warm", "level_barrier", Quantity.WALL, 1 / 25),
    Row("cells", "level_barrier", Quantity.MEMORY, GOAL_CELLS_MEMORY),
    Row("spawned", "level_barrier", Quantity.WALL, 1.0),
    Row("example", "example_level_barrier", Quantity.WALL, 1 / 6),
    Row("example", "example_level_barrier", Quantity.PROCESSOR, 1 / 11),
]

METHOD = [
    "wall: from the command until each agent has answered `ok` under its own name to a plain REQ socket",
    "each launcher from nothing (its own start included), in temporary folders; same agents and interpreter",
    "the runtime folder is in memory, like a login's; state and logs are on the disk",
    "agents: bench/agents/typical.py with names, ports and needs of the example; example: its own agents",
    "bytecode of all imports exists before the first start",
    "rounds interleaved, every second one backwards; a ratio is taken within a round",
    "processor: clocks of all processes of the launcher at that moment, and of the children they reaped",
    "_warm: supervisor, zygote and one agent run and the zygote has loaded all before the command starts",
    "PSS (smaps_rollup), threads, contexts, descriptors: of all its processes, supervisors included",
    "_pss_after_gc: after gc.collect() in each agent",
    "cells: the same agents, several in a process, as in the example's cells.yaml",
    "spawned: the same agents with `preload: none`",
    "level_barrier: one level of needs after another, 10 agents at a time, health polled every 0.1 s",
    "forkserver: multiprocessing's, every module of the agents preloaded; ready queue, readiness reported",
    "supervisord, circus, honcho, pm2, ray: no dependencies; all agents at once",
    "processor_floor: processor seconds of the same start / cores",
    "critical_path_floor: agents on the longest chain of needs x median start of a single agent",
    "disturbance: share of the machine's processors used by other work; above 0.1, measure again",
    "own_ms_per_start: the supervisor's processor time in a warm start / agents",
    "own_cpu/level_barrier_cpu: the goal is 1 ms per start over the 9.8 s that the barrier took at that time",
    "cells_without_supervisor: the cells and their zygotes, for which the goal was set",
    "rest: processor seconds per second of supervisor, forker and zygote while idle; 1 is a core",
    "rest begins after the supervisor's first memory sample of each agent",
]


def ratios(results: StartResults, machine: Machine) -> dict[str, Ratio]:
    """Return the rows of which both sides were measured."""
    starts, found = results.starts, {}
    for row in ROWS:
        if row.left in starts and row.right in starts:
            rounds = list(zip(starts[row.left], starts[row.right], strict=False))
            if row.quantity is Quantity.MEMORY_AFTER_GC:
                rounds = [pair for pair in rounds if None not in (each.pss_after_gc_mib for each in pair)]
            if rounds:
                left, right = (row.quantity.of([pair[side] for pair in rounds]) for side in (0, 1))
                found[row.label] = ratio_of(left, right, goal=row.goal, unit=row.quantity.unit)
    if "spawned" in starts:
        walls = Quantity.WALL.of(starts["spawned"])
        floors = _floors(starts["spawned"], machine)
        found[f"start.spawned/{FLOOR}"] = ratio_of(walls, floors, goal=GOAL_SPAWNED_FLOOR, unit="s")
    if "processes_warm" in starts and "level_barrier" in starts:
        pairs = list(zip(starts["processes_warm"], starts["level_barrier"], strict=False))
        own = [one.start.usage.supervisor_s for one, _ in pairs]
        barrier = Quantity.PROCESSOR.of([other for _, other in pairs])
        goal = GOAL_OWN_MS * results.agents / 1000 / BARRIER_S
        found["start.own_cpu/level_barrier_cpu"] = ratio_of(own, barrier, goal=goal, unit="s")
    if "cells" in starts and "level_barrier" in starts:
        pairs = list(zip(starts["cells"], starts["level_barrier"], strict=False))
        weights = [one.start.usage for one, _ in pairs]
        alone = [(each.pss_bytes - each.supervisor_pss_bytes) / 2**20 for each in weights]
        barrier = Quantity.MEMORY.of([other for _, other in pairs])
        label = "start.cells_without_supervisor_pss/level_barrier_pss"
        found[label] = ratio_of(alone, barrier, goal=GOAL_CELLS_MEMORY, unit="MiB")
    return found


def skipped(results: StartResults) -> dict[str, str]:
    """Return the skipped rows with the reason."""
    found = {}
    for row in ROWS:
        reasons = [results.unavailable[side] for side in (row.left, row.right) if side in results.unavailable]
        if reasons:
            found[row.label] = reasons[0]
    if "rest" in results.unavailable:
        found["start.rest"] = results.unavailable["rest"]
    return found


def _floors(found: list[StartSample], machine: Machine) -> list[float]:
    return [each.start.usage.processor_s / machine.cores for each in found]


def values(results: StartResults, machine: Machine) -> dict[str, Value]:
    """Return the values of each launcher, the floors, and argosy's own cost."""
    starts = results.starts
    found: dict[str, Value] = {}
    for name, each in starts.items():
        found |= _values_of(name, [one.start for one in each])
        found[f"start.{name}.{FLOOR}"] = value_of(_floors(each, machine), "s")
        collected = [one.pss_after_gc_mib for one in each if one.pss_after_gc_mib is not None]
        if collected:
            found[f"start.{name}.pss_after_gc"] = value_of(collected, "MiB")
    if "cells" in starts:
        weights = [each.start.usage for each in starts["cells"]]
        threads, contexts = [each.threads for each in weights], [each.contexts for each in weights]
        found["start.cells.threads"] = value_of(threads, "threads", goal=GOAL_CELLS_THREADS)
        found["start.cells.contexts"] = value_of(contexts, "contexts", goal=GOAL_CELLS_CONTEXTS)
    if "processes_warm" in starts:
        own = [each.start.usage.supervisor_s for each in starts["processes_warm"]]
        per_start = [1000 * seconds / results.agents for seconds in own]
        found["start.own_ms_per_start"] = value_of(per_start, "ms", goal=GOAL_OWN_MS)
    if results.idle_shares:
        found["start.rest"] = value_of(results.idle_shares, "cores", goal=GOAL_REST)
    if results.single_starts_s:
        chains = [results.chain * one for one in results.single_starts_s]
        found["start.critical_path_floor"] = value_of(chains, "s")
    return found


def _values_of(name: str, starts: list[StartMeasurement]) -> dict[str, Value]:
    return {
        f"start.{name}.wall": value_of([each.wall_s for each in starts], "s"),
        f"start.{name}.disturbance": value_of([each.disturbance for each in starts], "of the machine"),
        f"start.{name}.processor": value_of([each.usage.processor_s for each in starts], "s"),
        f"start.{name}.pss_per_agent": value_of([each.pss_mib_per_agent for each in starts], "MiB"),
        f"start.{name}.processes": value_of([each.usage.processes for each in starts], "processes"),
        f"start.{name}.threads": value_of([each.usage.threads for each in starts], "threads"),
        f"start.{name}.contexts": value_of([each.usage.contexts for each in starts], "contexts"),
        f"start.{name}.descriptors": value_of([each.usage.descriptors for each in starts], "descriptors"),
    }
