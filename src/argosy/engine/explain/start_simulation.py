"""Simulates a start: dependencies, durations, and how many agents may start at once.

The rules are those of the real start (`admission`): the agent with the longest chain of dependents is
admitted first, as long as a slot is free. Pure, and deterministic for equal input.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping

from argosy.engine.admission.cpu_pressure import STARTS_PER_PROCESSOR, dependent_chain_lengths
from argosy.fleet.dependency_graph import CriticalStep, Graph, UnknownAgentError


def start_slots(machines: int = 1) -> int:
    """Return how many agents start at once on so many busy machines like this one."""
    return STARTS_PER_PROCESSOR * len(os.sched_getaffinity(0)) * machines


def simulate_start(graph: Graph, durations_s: Mapping[str, float], slots: int) -> dict[str, CriticalStep]:
    """Return when each agent starts and is ready, in seconds; at most `slots` starts run at once.

    durations_s: seconds from an agent's start to its readiness.
    Raises UnknownAgentError: an agent of the graph has no entry in `durations_s`.
    """
    for name in graph.agents:
        if name not in durations_s:
            raise UnknownAgentError(name)
    chains = dependent_chain_lengths(graph.needs)
    index_of = {name: index for index, name in enumerate(graph.agents)}
    missing = {name: len(graph.needs[name]) for name in graph.agents}
    may_start = [(-chains[name], index_of[name], name) for name in graph.agents if not missing[name]]
    heapq.heapify(may_start)
    starting: list[tuple[float, int, str]] = []
    steps: dict[str, CriticalStep] = {}
    now_s = 0.0
    while may_start or starting:
        while may_start and len(starting) < slots:
            name = heapq.heappop(may_start)[2]
            steps[name] = CriticalStep(name, now_s, now_s + durations_s[name])
            heapq.heappush(starting, (steps[name].ready_s, index_of[name], name))
        now_s, _, name = heapq.heappop(starting)
        for other in graph.needed_by[name]:
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(may_start, (-chains[other], index_of[other], other))
    return steps
