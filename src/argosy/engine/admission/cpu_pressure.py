"""Admission by the pressure on the processors, and the length of the chain of dependents.

More starts than the processors can run finish no sooner; they only delay the chain that decides when
the fleet is ready, and leave processors idle at its end. So waiting agents are admitted by the longest
chain that depends on them (list scheduling by longest path, Graham 1969). The criterion is pressure,
not a fixed number: agents that wait for a disk or a network are not runnable and delay no other start;
nor does a start that has been under way for a while, whatever other work the machine has.
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
    """Processors that this process may use, and runnable tasks of the machine."""

    processors: int
    runnable: int


def read_cpu_pressure() -> CpuPressure:
    """Return the current pressure without this process (proc_loadavg(5))."""
    runnable, _, _ = read_small_file("/proc/loadavg").split()[3].partition(b"/")
    return CpuPressure(len(os.sched_getaffinity(0)), int(runnable) - 1)


def can_start_another(ages_s: Iterable[float], max_starting: int | None, pressure: CpuPressure) -> bool:
    """Return whether one more agent may start.

    ages_s: the age of each start that is under way. max_starting: as in the fleet file.
    """
    ages = list(ages_s)
    if max_starting is not None and len(ages) >= max_starting:
        return False
    limit = STARTS_PER_PROCESSOR * pressure.processors
    recent = sum(age < _RECENT_START_S for age in ages)
    return recent < limit or pressure.runnable < limit


def dependent_chain_lengths(needs: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return, for each agent, the length of the longest chain of dependents, itself included.

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
