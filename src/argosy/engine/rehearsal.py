"""A start played through before it happens: needs, durations, and how many may start at once.

The rules are those of the real start (`admission`): who may start is let in by the longest chain that
waits for it, as long as a slot is free. Pure, and deterministic for equal input.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping

from argosy.engine.admission import STARTS_PER_PROCESSOR, chain_lengths
from argosy.fleet.graph import Graph, Step, UnknownAgentError


def slots_here(machines: int = 1) -> int:
    """Return how many agents start at once on so many machines like this one when all are busy."""
    return STARTS_PER_PROCESSOR * len(os.sched_getaffinity(0)) * machines


def rehearse(graph: Graph, takes_s: Mapping[str, float], slots: int) -> dict[str, Step]:
    """Return when each agent starts and is ready, in seconds; at most `slots` starts go on at once.

    takes_s: seconds from an agent's start to its readiness.
    Raises UnknownAgentError: an agent of the graph has no entry in `takes_s`.
    """
    for name in graph.agents:
        if name not in takes_s:
            raise UnknownAgentError(name)
    chains = chain_lengths(graph.needs)
    place = {name: index for index, name in enumerate(graph.agents)}
    missing = {name: len(graph.needs[name]) for name in graph.agents}
    may_start = [(-chains[name], place[name], name) for name in graph.agents if not missing[name]]
    heapq.heapify(may_start)
    under_way: list[tuple[float, int, str]] = []
    played: dict[str, Step] = {}
    now_s = 0.0
    while may_start or under_way:
        while may_start and len(under_way) < slots:
            name = heapq.heappop(may_start)[2]
            played[name] = Step(name, now_s, now_s + takes_s[name])
            heapq.heappush(under_way, (played[name].ready_s, place[name], name))
        now_s, _, name = heapq.heappop(under_way)
        for other in graph.needed_by[name]:
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(may_start, (-chains[other], place[other], other))
    return played
