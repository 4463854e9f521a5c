"""Computes when each agent can be ready, what each need costs in time, and why a need is redundant.

Pure arithmetic over the graph (critical path method, Kelley and Walker 1959): every agent starts when
its last need is ready and then takes its own duration. Concurrency is unlimited here;
`engine.explain.restart_impact` simulates a start with admission.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import msgspec

from argosy.fleet.dependency_graph import Graph, UnknownAgentError


class EdgeCost(msgspec.Struct, frozen=True):
    """The cost of one need: how much sooner the agent and the whole fleet would be ready without it."""

    agent: str
    need: str
    agent_s: float
    fleet_s: float


def compute_ready_times(graph: Graph, durations_s: Mapping[str, float]) -> dict[str, float]:
    """Return when each agent is ready, in seconds from the start of the fleet.

    durations_s: seconds from the readiness of the last need to the agent's own readiness.
    Raises UnknownAgentError: an agent of the graph has no entry in `durations_s`.
    """
    ready: dict[str, float] = {}
    for name in graph.start_order():
        if name not in durations_s:
            raise UnknownAgentError(name)
        # In a cycle a need may have no time yet; `up` refuses such a file.
        ready[name] = _latest_ready_s(graph.needs[name], ready) + durations_s[name]
    return ready


def compute_edge_costs(graph: Graph, durations_s: Mapping[str, float]) -> tuple[EdgeCost, ...]:
    """Return the cost of each need, highest first: for the fleet, then for the agent.

    Each cost is that of removing this need only: of two needs that are ready at the same time, neither
    has a cost, although removing both would save time.
    Raises UnknownAgentError: an agent of the graph has no entry in `durations_s`.
    """
    ready = compute_ready_times(graph, durations_s)
    whole_s = max(ready.values(), default=0.0)
    below = _longest_dependent_chain(graph, durations_s)
    costs = []
    for agent, need in graph.edges():
        others = [other for other in graph.needs[agent] if other != need]
        agent_s = max(0.0, ready[need] - _latest_ready_s(others, ready))
        # Only an agent on a longest chain can make the fleet ready sooner.
        is_tight = agent_s > 0 and ready[agent] + below[agent] >= whole_s - 1e-9
        fleet_s = (
            whole_s - max(_ready_times_if_sooner(graph, durations_s, ready, agent, agent_s))
            if is_tight
            else 0.0
        )
        costs.append(EdgeCost(agent, need, agent_s, max(0.0, fleet_s)))
    return tuple(sorted(costs, key=lambda cost: (-cost.fleet_s, -cost.agent_s)))


def find_implying_chain(graph: Graph, agent: str, need: str) -> tuple[str, ...]:
    """Return the shortest other chain of needs from `agent` to `need`, both included; else empty.

    It proves that the need is redundant, because each agent of the chain waits for the next.
    Raises UnknownAgentError: the graph has no such agent.
    """
    if agent not in graph.needs:
        raise UnknownAgentError(agent)
    predecessors: dict[str, str] = {}
    queue = deque([agent])
    while queue:
        name = queue.popleft()
        for other in graph.needs[name]:
            if (name, other) == (agent, need) or other in predecessors or other == agent:
                continue
            predecessors[other] = name
            if other == need:
                return _path_from(agent, need, predecessors)
            queue.append(other)
    return ()


def _path_from(first: str, last: str, predecessors: Mapping[str, str]) -> tuple[str, ...]:
    path = [last]
    while path[-1] != first:
        path.append(predecessors[path[-1]])
    return tuple(reversed(path))


def _latest_ready_s(names: Iterable[str], ready: Mapping[str, float]) -> float:
    return max((ready[name] for name in names if name in ready), default=0.0)


def _longest_dependent_chain(graph: Graph, durations_s: Mapping[str, float]) -> dict[str, float]:
    """Return, for each agent, the duration of the longest chain that waits for it, without itself."""
    after: dict[str, float] = {}
    for name in graph.stop_order():
        after[name] = max(
            (durations_s[other] + after.get(other, 0.0) for other in graph.needed_by[name]), default=0.0
        )
    return after


def _ready_times_if_sooner(
    graph: Graph, durations_s: Mapping[str, float], ready: Mapping[str, float], agent: str, sooner_s: float
) -> Iterable[float]:
    """Return when each agent is ready if `agent` is ready `sooner_s` earlier."""
    shifted = dict(ready)
    shifted[agent] -= sooner_s
    touched = set(graph.with_dependents([agent])) - {agent}
    for name in graph.start_order():
        if name in touched:
            shifted[name] = _latest_ready_s(graph.needs[name], shifted) + durations_s[name]
    return shifted.values()
