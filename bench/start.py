"""How long the same 84 agents take to start: by argosy, in cells, level by level, by supervisord, by circus.

`python bench/start.py [--json] [--quick]`; needs `argosy[bench]`. The method is in bench/README.md.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import msgspec

from ways import Way
from ways.by_argosy import ByArgosy
from ways.by_circus import ByCircus
from ways.by_level_barrier import ByLevelBarrier
from ways.by_supervisord import BySupervisord
from yard.bytecode import compile_folder, compile_packages
from yard.harness import QUICK_S, Options, interleave, run_bench, tell
from yard.machine import Machine, this_machine
from yard.result import Ratio, Result, Value, ratio_of, value_of
from yard.stage import Stage, set_stage
from yard.starts import Start, seconds_alone, start_once
from yard.wounds import Wound, kill_one

PACKAGES = ("argosy", "msgspec", "zmq", "yaml", "setproctitle", "supervisor", "circus", "tornado", "psutil")
QUICK_VICTIMS = 3
FULL_VICTIMS = 12
QUICK_PATIENCE_S = 5.0
FULL_PATIENCE_S = 60.0

# What holds for any agent, spawned or forked. From cold, with zygotes, the aim is a sixth of the barrier's
# time and an eleventh of its processor time: about a quarter of both is reached, so these are not set yet.
GOAL_LEVEL_BARRIER = 1.0
GOAL_PROCESSOR = 1.1
GOAL_FLOOR = 1.35
GOAL_SUPERVISORD = 1.0
GOAL_CIRCUS = 1.25  # it starts all at once and checks nothing; argosy checks each process and keeps the order
GOAL_NOTICED_MS = 50.0
# Not reached from cold, as the rows say: the client, the supervisor and the zygote start one after the other
# before the first agent does, and are most of the memory beside four cells.
GOAL_CELLS = 1 / 25
GOAL_CELLS_MEMORY = 1 / 25
GOAL_CELLS_THREADS = 20
GOAL_CELLS_CONTEXTS = 20

CELLS = "cells.yaml"

METHOD = [
    "wall: from the command until each agent has answered `ok` under its own name to a plain REQ socket",
    "each way from nothing (its own start included), in folders of its own; same agents, same interpreter",
    "bytecode of all that is imported is there before the first start",
    "rounds interleaved, every second one backwards; a ratio is taken within a round",
    "processor: of all processes of the way at that moment: each one's clock, and the children it has reaped",
    "cells: the command for the fleet file `cells.yaml` beside the fleet: the same agents, some to a process",
    "PSS (smaps_rollup), threads, contexts, descriptors: of all processes of the way, supervisors included",
    "level_barrier: a level of needs after the other, 10 agents at a time, health polled each 0.1 s",
    "supervisord, circus: have no dependencies; all at once, the agents wait for their needs by themselves",
    "processor_floor: processor seconds of argosy's own start / cores, in the same round",
    "critical_path_floor: agents on the longest chain of needs x median start of an agent alone",
    "disturbance: share of the machine's processors that was busy with other work; above 0.1, measure again",
    "noticed, ready_again: SIGKILL of an agent until another client of the supervisor is told so",
    "most_needed: the agent with the most dependents, SystemDigitalTwin in the example",
]


class Findings(msgspec.Struct, frozen=True):
    """What the rounds brought.

    leaves, hub: kills of the agents that start last, and of the one that most others need. alone_s: starts of
    agents with nothing else going on. chain: agents on the longest chain of needs.
    """

    starts: dict[str, list[Start]]
    leaves: list[Wound]
    hub: list[Wound]
    alone_s: list[float]
    chain: int


def measure(options: Options) -> Result:
    """Run the rounds and return what they found."""
    machine = this_machine()
    compile_packages(PACKAGES)
    compile_folder(options.fleet.parent)
    findings = find(options)
    return Result(
        name="start",
        machine=machine,
        ratios=ratios(findings, machine),
        values=values(findings, machine),
        skipped=skipped(findings, options),
        method=METHOD,
    )


def find(options: Options) -> Findings:
    """Start the fleet by each way in each round; wound it once, in the first start by argosy."""
    patience_s = QUICK_PATIENCE_S if options.quick else FULL_PATIENCE_S
    fleet, cells = options.fleet, options.fleet.with_name(CELLS)
    ways: list[Way] = [ByArgosy(), ByLevelBarrier()]
    if cells.exists():
        ways.append(ByArgosy("cells"))
    if not options.quick:
        ways += [BySupervisord(), ByCircus()]
    with set_stage(fleet) as stage:
        chain = len(stage.graph.longest_chain())
    findings = Findings(defaultdict(list), [], [], seconds_alone(fleet, patience_s), chain)

    def wound(stage: Stage) -> None:
        graph = stage.graph
        victims = graph.stop_order()[: QUICK_VICTIMS if options.quick else FULL_VICTIMS]
        findings.leaves.extend(kill_one(stage, name) for name in victims)
        findings.hub.append(kill_one(stage, max(graph.agents, key=lambda name: len(graph.dependents(name)))))

    for number, way in interleave(options.rounds, ways, options.until_s):
        is_first = way.name == "argosy" and number == 0
        path = cells if way.name == "cells" else fleet
        start = start_once(way, path, patience_s, wound if is_first else None)
        findings.starts[way.name].append(start)
        told = f"{way.name}: {start.wall_s:.2f} s, disturbed {start.disturbance:.0%}"
        tell(f"round {number + 1} of {options.rounds}, {told}")
    return findings


def skipped(findings: Findings, options: Options) -> dict[str, str]:
    """Return what a quick run leaves out, and the rounds for which there was no time."""
    found = {f"start.argosy/{name}": "--quick" for name in ("supervisord", "circus") if options.quick}
    if "cells" not in findings.starts:
        found["start.cells/level_barrier"] = f"no {CELLS} beside {options.fleet}"
    done = len(findings.starts["argosy"])
    if done < options.rounds:
        found["start.rounds"] = (
            f"{done} of {options.rounds}: this machine is too busy for more in {QUICK_S:g} s"
        )
    return found


def ratios(findings: Findings, machine: Machine) -> dict[str, Ratio]:
    """Return argosy against each other way, and against the processor floor."""
    wall = {name: [each.wall_s for each in starts] for name, starts in findings.starts.items()}
    processor = {
        name: [each.weight.processor_s for each in starts] for name, starts in findings.starts.items()
    }
    floor = [seconds / machine.cores for seconds in processor["argosy"]]
    found = {
        "start.argosy/level_barrier": ratio_of(
            wall["argosy"], wall["level_barrier"], goal=GOAL_LEVEL_BARRIER, unit="s"
        ),
        "start.argosy_cpu/level_barrier_cpu": ratio_of(
            processor["argosy"], processor["level_barrier"], goal=GOAL_PROCESSOR, unit="s"
        ),
        "start.argosy/processor_floor": ratio_of(wall["argosy"], floor, goal=GOAL_FLOOR, unit="s"),
    }
    if "cells" in wall:
        found |= _ratios_of_cells(findings)
    for name, goal in (("supervisord", GOAL_SUPERVISORD), ("circus", GOAL_CIRCUS)):
        if name in wall:
            found[f"start.argosy/{name}"] = ratio_of(wall["argosy"], wall[name], goal=goal, unit="s")
    return found


def _ratios_of_cells(findings: Findings) -> dict[str, Ratio]:
    cells, barrier = findings.starts["cells"], findings.starts["level_barrier"]
    return {
        "start.cells/level_barrier": ratio_of(
            [each.wall_s for each in cells], [each.wall_s for each in barrier], goal=GOAL_CELLS, unit="s"
        ),
        "start.cells_pss/level_barrier_pss": ratio_of(
            [each.pss_mib for each in cells],
            [each.pss_mib for each in barrier],
            goal=GOAL_CELLS_MEMORY,
            unit="MiB",
        ),
    }


def values(findings: Findings, machine: Machine) -> dict[str, Value]:
    """Return what each way takes, the floors, and how argosy meets a kill."""
    found: dict[str, Value] = {}
    for name, starts in findings.starts.items():
        found |= _values_of(name, starts)
    if "cells" in findings.starts:
        weights = [each.weight for each in findings.starts["cells"]]
        found["start.cells.threads"] = value_of(
            [each.threads for each in weights], "threads", goal=GOAL_CELLS_THREADS
        )
        found["start.cells.contexts"] = value_of(
            [each.contexts for each in weights], "contexts", goal=GOAL_CELLS_CONTEXTS
        )
    floors = [each.weight.processor_s / machine.cores for each in findings.starts["argosy"]]
    found["start.processor_floor"] = value_of(floors, "s")
    found["start.critical_path_floor"] = value_of([findings.chain * one for one in findings.alone_s], "s")
    found["start.noticed_ms"] = value_of(
        [wound.noticed_ms for wound in findings.leaves + findings.hub], "ms", goal=GOAL_NOTICED_MS
    )
    found["start.ready_again_ms"] = value_of([wound.ready_again_ms for wound in findings.leaves], "ms")
    found["start.ready_again_ms.most_needed"] = value_of([w.ready_again_ms for w in findings.hub], "ms")
    return found


def _values_of(name: str, starts: list[Start]) -> dict[str, Value]:
    return {
        f"start.{name}.wall": value_of([each.wall_s for each in starts], "s"),
        f"start.{name}.disturbance": value_of([each.disturbance for each in starts], "of the machine"),
        f"start.{name}.processor": value_of([each.weight.processor_s for each in starts], "s"),
        f"start.{name}.pss_per_agent": value_of([each.pss_mib_per_agent for each in starts], "MiB"),
        f"start.{name}.processes": value_of([each.weight.processes for each in starts], "processes"),
        f"start.{name}.threads": value_of([each.weight.threads for each in starts], "threads"),
        f"start.{name}.contexts": value_of([each.weight.contexts for each in starts], "contexts"),
        f"start.{name}.descriptors": value_of([each.weight.descriptors for each in starts], "descriptors"),
    }


if __name__ == "__main__":
    sys.exit(run_bench("start", (__doc__ or "").partition("\n")[0], measure))
