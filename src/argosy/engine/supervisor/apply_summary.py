"""The summary of an apply: counts every declared agent once, so that the counts add up."""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING, Any

from argosy.engine.protocol.messages import ApplySummary, CriticalPathStep
from argosy.engine.protocol.state_machine import State
from argosy.engine.unit.dependency_state import root_cause
from argosy.fleet.dependency_graph import critical_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from argosy.engine.peering.remote_agent import RemoteAgent
    from argosy.engine.plan.process_plan import ProcessPlan
    from argosy.engine.unit.dependency_state import Dependency
    from argosy.engine.unit.unit import Unit
    from argosy.fleet.dependency_graph import Graph

_STATE_PREFIX = {State.GIVEN_UP: "", State.EXITED: "", State.BLOCKED: "blocked, "}


def describe_not_ready(unit: Dependency) -> str:
    """Return why an agent is not ready."""
    prefix = _STATE_PREFIX.get(unit.state, f"{unit.state}, ")
    return (prefix + unit.reason).rstrip(", ") or unit.state.value


def summarize_apply(
    plan: ProcessPlan,
    graph: Graph,
    units: Mapping[str, Unit],
    remote_agents: Mapping[str, RemoteAgent],
    scope: Collection[str],
    skip: Mapping[str, str],
    adopted: Collection[str],
    started_at: float,
    now: float,
    *,
    interrupted: bool,
) -> ApplySummary:
    """Return the summary of an apply that began at loop time `started_at`.

    ready + not_ready + left_out = declared. scope: the names it covers. remote_agents: the agents of peer
    machines; those of an unreachable machine are not ready, whatever their last state.
    """
    agents: Mapping[str, Unit | RemoteAgent] = ChainMap[str, Any](dict(units), dict(remote_agents))
    ready, degraded, not_ready = [], [], {}
    left_out = {name: why for name, why in plan.left_out.items() if name not in remote_agents}
    for name in plan.declared:
        unit = agents.get(name)
        if unit is None or name in left_out:
            left_out.setdefault(name, "not run by this machine")
        elif not unit.is_reachable and name in scope:
            not_ready[name] = remote_agents[name].reachability.description
        elif unit.is_ready:
            ready.append(name)
            if unit.state is State.DEGRADED:
                degraded.append(name)
        elif name in scope:
            not_ready[name] = describe_not_ready(unit)
        else:
            left_out[name] = skip.get(name, "not named by `--only`")
    path = _critical_path(graph, agents, ready, started_at)
    return ApplySummary(
        declared=len(plan.declared),
        ready=ready,
        degraded=degraded,
        not_ready=not_ready,
        optional=[name for name in not_ready if not agents[name].spec.required],
        left_out=left_out,
        adopted=[name for name in adopted if name in ready],
        seconds=now - started_at,
        critical_path=path,
        critical_path_seconds=path[-1].ready if path else 0.0,
        interrupted=interrupted,
        last_lines={name: agents[name].last_lines for name in not_ready if agents[name].last_lines},
        blocked_by={
            name: root_cause(agents[name], agents).root
            for name in not_ready
            if agents[name].state is State.BLOCKED
        },
    )


def _critical_path(
    graph: Graph, units: Mapping[str, Unit | RemoteAgent], ready: Collection[str], started_at: float
) -> list[CriticalPathStep]:
    """Return the chain that decided when the fleet was ready, limited to agents started in this apply."""
    ready_s = {name: max(0.0, (units[name].ready_at or started_at) - started_at) for name in ready}
    started = {
        name for name in ready if units[name].started_at >= started_at and units[name].ready_at is not None
    }
    steps = critical_path(graph.subgraph(ready), ready_s) if started else ()
    return [
        CriticalPathStep(step.agent, max(0.0, units[step.agent].started_at - started_at), ready_s[step.agent])
        for step in steps
        if step.agent in started
    ]
