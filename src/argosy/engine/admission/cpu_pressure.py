"""Admission to start: by the pressure on the processors, the longest chain of dependents first.

Starts beyond what the processors can do finish no sooner; they only take time from the chain that
decides when the fleet is ready, and leave processors idle at its end. So those that wait are
admitted by what still hangs on them (list scheduling by longest path, Graham 1969). What counts is
pressure, not a number: agents that wait for a disk or a network are not runnable, and hold nobody
back; neither does a start that has gone on for a while, whatever other work the machine has.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.process.os_process import read_small_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STARTS_PER_PROCESSOR = 2
_RECENT_START_S = 2.0


class CpuPressure(NamedTuple):
    """Processors that this process may use, and tasks of the machine that run or could."""

    processors: int
    runnable: int


def read_cpu_pressure() -> CpuPressure:
    """Return the pressure now, this process not counted (proc_loadavg(5))."""
    runnable, _, _ = read_small_file("/proc/loadavg").split()[3].partition(b"/")
    return CpuPressure(len(os.sched_getaffinity(0)), int(runnable) - 1)


def can_start_another(ages_s: Iterable[float], max_starting: int | None, pressure: CpuPressure) -> bool:
    """Return whether one more agent may start.

    ages_s: how long each start that is under way has gone on. most: the fleet's `max_starting`.
    """
    ages = list(ages_s)
    if max_starting is not None and len(ages) >= max_starting:
        return False
    limit = STARTS_PER_PROCESSOR * pressure.processors
    recent = sum(age < _RECENT_START_S for age in ages)
    return recent < limit or pressure.runnable < limit


def dependent_chain_lengths(needs: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return, for each agent, how many agents the longest chain has that begins with it and waits for it.

    The graph has no cycle (the loader refuses one).
    """
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for need in needed:
            if need in dependents:
                dependents[need].append(name)
    order: list[str] = []
    open_needs = {name: sum(need in dependents for need in needed) for name, needed in needs.items()}
    stack = [name for name, count in open_needs.items() if not count]
    while stack:
        name = stack.pop()
        order.append(name)
        for other in dependents[name]:
            open_needs[other] -= 1
            if not open_needs[other]:
                stack.append(other)
    lengths: dict[str, int] = {}
    for name in reversed(order):
        lengths[name] = 1 + max((lengths[other] for other in dependents[name]), default=0)
    return lengths
