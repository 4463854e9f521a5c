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

# Every event in every state, as it is meant: the state that follows, and what is done on the way if anything.
# A point: the event is late there, or cannot be, and changes nothing.
MEANT = """
                 waiting         starting    ready       degraded    failing     restart-pending  stopping
start            waiting/check   .           .           .           .           waiting/check    .
needs-ready      starting/spawn  .           .           .           .           .                .
need-failed      blocked/end     .           .           .           .           .                .
need-revived     .               .           .           .           .           .                .
ready            .               ready/tell  .           ready       ready/tell  .                .
degraded         .               degr./tell  degraded    degr./again degr./tell  .                .
silent           .               .           degraded    degr./again .           .                .
unhealthy        .               .           failing     failing     .           .                .
timeout          .               stop./term  .           .           .           .                .
frozen           .               stop./term  stop./term  stop./term  stop./term  .                .
finished         .               exited/end  exited/end  exited/end  exited/end  .                exited/end
retry            .               rest./wait  rest./wait  rest./wait  rest./wait  .                rest./wait
give-up          .               given/end   given/end   given/end   given/end   given/end        given/end
backoff-over     .               .           .           .           .           waiting/check    .
stop             exited/end      stop./term  stop./term  stop./term  stop./term  exited/end       .

                 exited          given-up       blocked
start            waiting/check   waiting/check  waiting/check
needs-ready      .               .              starting/spawn
need-failed      .               .              .
need-revived     .               .              waiting/check
ready            .               .              .
degraded         .               .              .
silent           .               .              .
unhealthy        .               .              .
timeout          .               .              .
frozen           .               .              .
finished         .               .              .
retry            .               .              .
give-up          .               .              .
backoff-over     .               .              .
stop             .               .              exited/end
"""
STATES = {
    "degr.": State.DEGRADED,
    "stop.": State.STOPPING,
    "rest.": State.RESTART_PENDING,
    "given": State.GIVEN_UP,
}
ACTIONS = {
    "": Action.NONE,
    "check": Action.CHECK_NEEDS,
    "spawn": Action.SPAWN,
    "tell": Action.ANNOUNCE,
    "again": Action.RETELL,
    "term": Action.TERMINATE,
    "wait": Action.BACK_OFF,
    "end": Action.CONCLUDE,
}


def meant() -> dict[tuple[State, Event], tuple[State, Action]]:
    """Return what the tables above say of each pair."""
    found = {}
    for table in MEANT.strip("\n").split("\n\n"):
        head, *rows = table.splitlines()
        for row in rows:
            event, *cells = row.split()
            for state, cell in zip(map(State, head.split()), cells, strict=True):
                word, _, action = cell.partition("/")
                after = state if word == "." else STATES.get(word) or State(word)
                found[state, Event(event)] = (after, ACTIONS[action])
    return found


def test_every_pair_is_told_of() -> None:
    assert meant().keys() == set(PAIRS)
    assert {action for _, action in meant().values()} == set(Action)


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_what_follows_an_event(state: State, event: Event) -> None:
    assert step(state, event) == meant()[state, event]
    if event in TABLE[state]:
        after, action = step(state, event)
        assert after is not state or action is not Action.NONE, "a row that does nothing is no row"


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
    for event in (Event.READY, Event.DEGRADED, Event.SILENT, Event.UNHEALTHY):
        assert step(State.STOPPING, event).state is State.STOPPING


def test_words_of_states() -> None:
    assert READY_STATES < SETTLED_STATES
    assert State.FAILING not in SETTLED_STATES
    assert State.RESTART_PENDING not in RUNNING_STATES
