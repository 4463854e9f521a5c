"""The closed account of an apply: every declared agent is in it once, and the sum is right."""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING, Any

from argosy.engine.condition import root_of
from argosy.engine.messages import Account, Milestone
from argosy.engine.state import State
from argosy.fleet.graph import critical_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from argosy.engine.distant import Distant
    from argosy.engine.plan import Plan
    from argosy.engine.surroundings import Party
    from argosy.engine.unit import Unit
    from argosy.fleet.graph import Graph

_WORDS = {State.GIVEN_UP: "", State.EXITED: "", State.BLOCKED: "blocked, "}


def describe(unit: Party) -> str:
    """Return why an agent is not ready, in words."""
    prefix = _WORDS.get(unit.state, f"{unit.state}, ")
    return (prefix + unit.reason).rstrip(", ") or unit.state.value


def close_account(
    plan: Plan,
    graph: Graph,
    units: Mapping[str, Unit],
    distants: Mapping[str, Distant],
    scope: Collection[str],
    skip: Mapping[str, str],
    adopted: Collection[str],
    began: float,
    now: float,
    *,
    interrupted: bool,
) -> Account:
    """Return the account of an apply that began at loop time `began`.

    ready + not_ready + left_out = declared. scope: the names it was about. distants: the agents of
    linked machines; those of a machine that is not seen now are not ready, whatever they were.
    """
    everyone: Mapping[str, Unit | Distant] = ChainMap[str, Any](dict(units), dict(distants))
    ready, degraded, not_ready = [], [], {}
    left_out = {name: why for name, why in plan.left_out.items() if name not in distants}
    for name in plan.declared:
        unit = everyone.get(name)
        if unit is None or name in left_out:
            left_out.setdefault(name, "not run by this machine")
        elif not unit.is_in_sight and name in scope:
            not_ready[name] = distants[name].sight.words
        elif unit.is_ready:
            ready.append(name)
            if unit.state is State.DEGRADED:
                degraded.append(name)
        elif name in scope:
            not_ready[name] = describe(unit)
        else:
            left_out[name] = skip.get(name, "not named by `--only`")
    path = _critical_path(graph, everyone, ready, began)
    return Account(
        declared=len(plan.declared),
        ready=ready,
        degraded=degraded,
        not_ready=not_ready,
        optional=[name for name in not_ready if not everyone[name].spec.required],
        left_out=left_out,
        adopted=[name for name in adopted if name in ready],
        seconds=now - began,
        critical_path=path,
        critical_path_seconds=path[-1].ready if path else 0.0,
        interrupted=interrupted,
        last_lines={name: everyone[name].last_lines for name in not_ready if everyone[name].last_lines},
        blocked_by={
            name: root_of(everyone[name], everyone).root
            for name in not_ready
            if everyone[name].state is State.BLOCKED
        },
    )


def _critical_path(
    graph: Graph, units: Mapping[str, Unit | Distant], ready: Collection[str], began: float
) -> list[Milestone]:
    """Return the chain that decided when the fleet was ready; of agents that started in this apply."""
    ready_s = {name: max(0.0, (units[name].ready_at or began) - began) for name in ready}
    started = {name for name in ready if units[name].started_at >= began and units[name].ready_at is not None}
    steps = critical_path(graph.only(ready), ready_s) if started else ()
    return [
        Milestone(step.agent, max(0.0, units[step.agent].started_at - began), ready_s[step.agent])
        for step in steps
        if step.agent in started
    ]
