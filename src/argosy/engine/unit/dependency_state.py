"""Turns the state of an agent's needs, and its own health report, into an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from argosy.agent.health import Status
from argosy.engine.protocol.state_machine import FINAL_STATES, State, UnitEvent
from argosy.engine.unit.heartbeat import describe_silence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class Dependency(Protocol):
    """An agent of the fleet as its dependents see it: a unit here, or an agent of another machine."""

    name: str

    @property
    def state(self) -> State: ...
    @property
    def reason(self) -> str: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def has_process(self) -> bool: ...
    @property
    def is_reachable(self) -> bool: ...

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""


class FailedDependency(NamedTuple):
    """Why a need will not become ready. root: the agent at the end of the chain, perhaps the need itself."""

    root: str
    reason: str


class DependencyStatus(NamedTuple):
    """The unmet needs of an agent: those that are not ready yet, and those that will not become ready."""

    waiting_on: list[str]
    failed: dict[str, FailedDependency]


def dependency_status(needs: Iterable[str], agents: Mapping[str, Dependency]) -> DependencyStatus:
    """Return which of `needs` are not ready yet, and which will not become ready."""
    waiting, failed = [], {}
    for name in needs:
        other = agents.get(name)
        if other is None:
            failed[name] = FailedDependency(name, "it is not run by this machine")
        elif other.state in FINAL_STATES:
            failed[name] = root_cause(other, agents)
        elif not other.is_ready:
            waiting.append(name)
    return DependencyStatus(waiting, failed)


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
