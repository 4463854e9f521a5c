"""Turns the state of an agent's needs, and its own health report, into an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.agent.health import Status
from argosy.engine.protocol.state_machine import FINAL_STATES, State, UnitEvent
from argosy.engine.unit.context import FailedDependency
from argosy.engine.unit.heartbeat import describe_silence

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from argosy.engine.unit.context import Dependency, DependencyStatus


def evaluate_dependencies(dependencies: DependencyStatus, state: State) -> tuple[UnitEvent, str] | None:
    """Return the event for an agent in `state`: it may start, never start, or be unblocked; or None."""
    if dependencies.failed:
        return UnitEvent.NEED_FAILED, f"needs {_describe_failed(dependencies.failed)}"
    if not dependencies.waiting_on:
        return UnitEvent.NEEDS_READY, ""
    return (UnitEvent.NEED_POSSIBLE_AGAIN, "") if state is State.BLOCKED else None


def _describe_failed(failed: Mapping[str, FailedDependency]) -> str:
    """Name each root once, however many of the needs depend on it."""
    by_root: dict[FailedDependency, list[str]] = {}
    for name, failure in failed.items():
        by_root.setdefault(failure, []).append(name)
    parts = []
    for failure, names in by_root.items():
        others = "`, `".join(name for name in names if name != failure.root)
        through = f"`{others}`, blocked by " if others else ""
        parts.append(f"{through}`{failure.root}`: {failure.reason}")
    return "; ".join(parts)


def root_cause(unit: Dependency, units: Mapping[str, Dependency]) -> FailedDependency:
    """Return the agent at the root of a failed unit: one that is not blocked itself."""
    while unit.state is State.BLOCKED:
        needs = (units.get(name) for name in unit.need_names())
        final = next((each for each in needs if each and each.state in FINAL_STATES), None)
        if final is None:
            break
        unit = final
    return FailedDependency(unit.name, unit.reason or unit.state.value)


def health_event(
    health: str | None, lost_needs: Collection[str], silent_s: float | None = None
) -> tuple[UnitEvent, str] | None:
    """Return the event that follows, with its reason; None when nothing changes.

    health: its own report, None when it makes none. silent_s: how long it has been silent, None when it is
    not; an earlier health report is outdated then.
    """
    if silent_s is not None:
        return UnitEvent.SILENT, describe_silence(silent_s)
    if health == Status.FAILING:
        return UnitEvent.UNHEALTHY, "its health report says failing"
    if health == Status.DEGRADED:
        return UnitEvent.DEGRADED, "its health report says degraded"
    if health not in (Status.OK, None):
        return None  # it reports that it starts or stops: lost needs do not matter
    if lost_needs:
        return UnitEvent.DEGRADED, f"without `{'`, `'.join(sorted(lost_needs))}`"
    return UnitEvent.READY, ""
