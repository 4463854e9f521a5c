"""Dependency state: the event that follows from needs and from health, in every state."""

from __future__ import annotations

import itertools

import pytest

from argosy.agent.health import Status
from argosy.engine.protocol.state_machine import State, UnitAction, UnitEvent, next_transition
from argosy.engine.unit.dependency_state import (
    DependencyStatus,
    FailedDependency,
    evaluate_dependencies,
    health_event,
)

FAILED = {"A": FailedDependency("A", "exited with code 3")}
# What is asked for and what will not come, and the event that follows in a blocked state and in the others.
NEEDS = [
    (DependencyStatus([], {}), UnitEvent.NEEDS_READY, UnitEvent.NEEDS_READY),
    (DependencyStatus(["B"], {}), UnitEvent.NEED_POSSIBLE_AGAIN, None),
    (DependencyStatus([], FAILED), UnitEvent.NEED_FAILED, UnitEvent.NEED_FAILED),
    (DependencyStatus(["B"], FAILED), UnitEvent.NEED_FAILED, UnitEvent.NEED_FAILED),
]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(("needs", "when_blocked", "otherwise"), NEEDS)
def test_needs_lead_to_expected_event_in_each_state(
    needs: DependencyStatus, when_blocked: UnitEvent, otherwise: UnitEvent | None, state: State
) -> None:
    found = evaluate_dependencies(needs, state)
    assert (found and found[0]) == (when_blocked if state is State.BLOCKED else otherwise)


@pytest.mark.parametrize("needs", [needs for needs, _, _ in NEEDS])
@pytest.mark.parametrize("state", sorted(set(State) - {State.WAITING, State.BLOCKED}))
def test_needs_change_only_waiting_and_blocked_units(needs: DependencyStatus, state: State) -> None:
    """They may hold a start back; they never end one, and never start one twice."""
    found = evaluate_dependencies(needs, state)
    assert found is None or next_transition(state, found[0]) == (state, UnitAction.NONE)


HEALTH = {
    (None, False): UnitEvent.READY,
    (None, True): UnitEvent.DEGRADED,
    (Status.OK, False): UnitEvent.READY,
    (Status.OK, True): UnitEvent.DEGRADED,
    (Status.DEGRADED, False): UnitEvent.DEGRADED,
    (Status.DEGRADED, True): UnitEvent.DEGRADED,
    (Status.FAILING, False): UnitEvent.UNHEALTHY,
    (Status.FAILING, True): UnitEvent.UNHEALTHY,
    (Status.STARTING, False): None,
    (Status.STARTING, True): None,
    (Status.STOPPING, False): None,
    (Status.STOPPING, True): None,
}


def test_health_table_covers_every_status() -> None:
    assert HEALTH.keys() == set(itertools.product([None, *Status], [False, True]))


@pytest.mark.parametrize(("health", "has_lost"), HEALTH)
def test_health_leads_to_expected_event(health: Status | None, has_lost: bool) -> None:
    found = health_event(health, {"A"} if has_lost else set())
    assert (found and found[0]) == HEALTH[health, has_lost]


@pytest.mark.parametrize(("health", "has_lost"), HEALTH)
@pytest.mark.parametrize("state", State)
def test_health_never_starts_or_stops_process(state: State, health: Status | None, has_lost: bool) -> None:
    found = health_event(health, {"A"} if has_lost else set())
    after = next_transition(state, found[0]) if found else (state, UnitAction.NONE)
    assert after[1] in (UnitAction.NONE, UnitAction.NOTIFY_DEPENDENTS, UnitAction.UPDATE_REASON)
