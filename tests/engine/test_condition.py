"""What an agent's needs, and its own word, make of it: in every state, for every word."""

from __future__ import annotations

import itertools

import pytest

from argosy.agent.health import Status
from argosy.engine.condition import judge_health, judge_needs
from argosy.engine.state import Action, Event, State, step
from argosy.engine.surroundings import Lack, Needs

LACK = {"A": Lack("A", "exited with code 3")}
# What is asked for and what will not come, and the event that follows in a blocked state and in the others.
NEEDS = [
    (Needs([], {}), Event.NEEDS_READY, Event.NEEDS_READY),
    (Needs(["B"], {}), Event.NEED_REVIVED, None),
    (Needs([], LACK), Event.NEED_FAILED, Event.NEED_FAILED),
    (Needs(["B"], LACK), Event.NEED_FAILED, Event.NEED_FAILED),
]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(("needs", "when_blocked", "otherwise"), NEEDS)
def test_needs(needs: Needs, when_blocked: Event, otherwise: Event | None, state: State) -> None:
    found = judge_needs(needs, state)
    assert (found and found[0]) == (when_blocked if state is State.BLOCKED else otherwise)


@pytest.mark.parametrize("needs", [needs for needs, _, _ in NEEDS])
@pytest.mark.parametrize("state", sorted(set(State) - {State.WAITING, State.BLOCKED}))
def test_needs_move_nobody_who_does_not_wait(needs: Needs, state: State) -> None:
    """They may hold a start back; they never end one, and never start one twice."""
    found = judge_needs(needs, state)
    assert found is None or step(state, found[0]) == (state, Action.NONE)


HEALTH = {
    (None, False): Event.READY,
    (None, True): Event.DEGRADED,
    (Status.OK, False): Event.READY,
    (Status.OK, True): Event.DEGRADED,
    (Status.DEGRADED, False): Event.DEGRADED,
    (Status.DEGRADED, True): Event.DEGRADED,
    (Status.FAILING, False): Event.UNHEALTHY,
    (Status.FAILING, True): Event.UNHEALTHY,
    (Status.STARTING, False): None,
    (Status.STARTING, True): None,
    (Status.STOPPING, False): None,
    (Status.STOPPING, True): None,
}


def test_every_word_of_health_is_told_of() -> None:
    assert HEALTH.keys() == set(itertools.product([None, *Status], [False, True]))


@pytest.mark.parametrize(("health", "has_lost"), HEALTH)
def test_health(health: Status | None, has_lost: bool) -> None:
    found = judge_health(health, {"A"} if has_lost else set())
    assert (found and found[0]) == HEALTH[health, has_lost]


@pytest.mark.parametrize(("health", "has_lost"), HEALTH)
@pytest.mark.parametrize("state", State)
def test_no_word_of_health_ends_a_process_or_begins_one(
    state: State, health: Status | None, has_lost: bool
) -> None:
    found = judge_health(health, {"A"} if has_lost else set())
    after = step(state, found[0]) if found else (state, Action.NONE)
    assert after[1] in (Action.NONE, Action.ANNOUNCE, Action.RETELL)
