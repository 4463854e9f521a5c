"""The state machine: every pair of state and event, possible or not."""

from __future__ import annotations

import itertools

import pytest

from argosy.engine.state import (
    FINAL_STATES,
    READY_STATES,
    RUNNING_STATES,
    SETTLED_STATES,
    TABLE,
    Action,
    Event,
    State,
    step,
)

PAIRS = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair_leads_somewhere_or_changes_nothing(state: State, event: Event) -> None:
    after, action = step(state, event)
    if event in TABLE[state]:
        assert (after, action) == TABLE[state][event]
        assert after is not state or action is not Action.NONE, "a row that does nothing is no row"
    else:
        assert (after, action) == (state, Action.NONE)


def test_every_state_has_a_row_and_can_be_reached() -> None:
    reached = {State.EXITED}
    while True:
        more = {step(state, event).state for state in reached for event in Event} - reached
        if not more:
            break
        reached |= more
    assert reached == set(State) == set(TABLE)


def test_a_process_is_spawned_only_where_none_can_be_running() -> None:
    spawning = {state for state, event in PAIRS if step(state, event).action is Action.SPAWN}
    assert spawning.isdisjoint(RUNNING_STATES)


@pytest.mark.parametrize("state", sorted(RUNNING_STATES))
def test_whatever_runs_can_be_stopped_and_can_end(state: State) -> None:
    for event in (Event.FINISHED, Event.RETRY, Event.GIVE_UP):
        assert step(state, event).state not in RUNNING_STATES
    if state is not State.STOPPING:
        assert step(state, Event.STOP) == (State.STOPPING, Action.TERMINATE)


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_what_is_over_can_be_started_again(state: State) -> None:
    assert step(state, Event.START) == (State.WAITING, Action.CHECK_NEEDS)


def test_health_of_a_process_that_is_told_to_end_changes_nothing() -> None:
    for event in (Event.READY, Event.DEGRADED, Event.UNHEALTHY):
        assert step(State.STOPPING, event).state is State.STOPPING


def test_words_of_states() -> None:
    assert READY_STATES < SETTLED_STATES
    assert State.FAILING not in SETTLED_STATES
    assert State.RESTART_PENDING not in RUNNING_STATES
