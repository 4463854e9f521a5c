"""The state machine: every pair of state and event, possible or not."""

from __future__ import annotations

import itertools

import pytest

from argosy.engine.protocol.state_machine import (
    FINAL_STATES,
    READY_STATES,
    RUNNING_STATES,
    SETTLED_STATES,
    TRANSITIONS,
    State,
    UnitAction,
    UnitEvent,
    next_transition,
)

PAIRS = list(itertools.product(State, UnitEvent))

# Every event in every state, as it is meant: the state that follows, and what is done on the way if anything.
# A point: the event is late there, or cannot be, and changes nothing.
EXPECTED = """
                    waiting        starting    ready       degraded    failing     restart-pending stopping
start               waiting/check  .           .           .           .           waiting/check    .
needs-ready         starting/spawn .           .           .           .           .                .
need-failed         blocked/end    .           .           .           .           .                .
need-possible-again .              .           .           .           .           .                .
ready               .              ready/tell  .           ready       ready/tell  .                .
degraded            .              degr./tell  degraded    degr./again degr./tell  .                .
silent              .              .           degraded    degr./again .           .                .
unhealthy           .              .           failing     failing     .           .                .
timeout             .              stop./term  .           .           .           .                .
frozen              .              stop./term  stop./term  stop./term  stop./term  .                .
finished            .              exited/end  exited/end  exited/end  exited/end  .                exited/end
retry               .              rest./wait  rest./wait  rest./wait  rest./wait  .                rest./wait
give-up             .              given/end   given/end   given/end   given/end   given/end        given/end
backoff-over        .              .           .           .           .           waiting/check    .
stop                exited/end     stop./term  stop./term  stop./term  stop./term  exited/end       .

                    exited         given-up       blocked
start               waiting/check  waiting/check  waiting/check
needs-ready         .              .              starting/spawn
need-failed         .              .              .
need-possible-again .              .              waiting/check
ready               .              .              .
degraded            .              .              .
silent              .              .              .
unhealthy           .              .              .
timeout             .              .              .
frozen              .              .              .
finished            .              .              .
retry               .              .              .
give-up             .              .              .
backoff-over        .              .              .
stop                .              .              exited/end
"""
STATES = {
    "degr.": State.DEGRADED,
    "stop.": State.STOPPING,
    "rest.": State.RESTART_PENDING,
    "given": State.GIVEN_UP,
}
ACTIONS = {
    "": UnitAction.NONE,
    "check": UnitAction.CHECK_NEEDS,
    "spawn": UnitAction.SPAWN,
    "tell": UnitAction.NOTIFY_DEPENDENTS,
    "again": UnitAction.UPDATE_REASON,
    "term": UnitAction.TERMINATE,
    "wait": UnitAction.BACK_OFF,
    "end": UnitAction.FINALIZE,
}


def meant() -> dict[tuple[State, UnitEvent], tuple[State, UnitAction]]:
    """Return what the tables above say of each pair."""
    found = {}
    for table in EXPECTED.strip("\n").split("\n\n"):
        head, *rows = table.splitlines()
        for row in rows:
            event, *cells = row.split()
            for state, cell in zip(map(State, head.split()), cells, strict=True):
                word, _, action = cell.partition("/")
                after = state if word == "." else STATES.get(word) or State(word)
                found[state, UnitEvent(event)] = (after, ACTIONS[action])
    return found


def test_transition_table_covers_every_state_and_event() -> None:
    assert meant().keys() == set(PAIRS)
    assert {action for _, action in meant().values()} == set(UnitAction)


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_state_machine_follows_transition_table(state: State, event: UnitEvent) -> None:
    assert next_transition(state, event) == meant()[state, event]
    if event in TRANSITIONS[state]:
        after, action = next_transition(state, event)
        assert after is not state or action is not UnitAction.NONE, "a row that does nothing is no row"


def test_every_state_is_reachable_and_has_transitions() -> None:
    reached = {State.EXITED}
    while True:
        more = {next_transition(state, event).state for state in reached for event in UnitEvent} - reached
        if not more:
            break
        reached |= more
    assert reached == set(State) == set(TRANSITIONS)


def test_state_machine_spawns_only_in_states_without_process() -> None:
    spawning = {state for state, event in PAIRS if next_transition(state, event).action is UnitAction.SPAWN}
    assert spawning.isdisjoint(RUNNING_STATES)


@pytest.mark.parametrize("state", sorted(RUNNING_STATES))
def test_running_states_can_be_stopped_and_can_exit(state: State) -> None:
    for event in (UnitEvent.FINISHED, UnitEvent.RETRY, UnitEvent.GIVE_UP):
        assert next_transition(state, event).state not in RUNNING_STATES
    if state is not State.STOPPING:
        assert next_transition(state, UnitEvent.STOP) == (State.STOPPING, UnitAction.TERMINATE)


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_final_states_can_be_started_again(state: State) -> None:
    assert next_transition(state, UnitEvent.START) == (State.WAITING, UnitAction.CHECK_NEEDS)


def test_health_does_not_change_stopping_state() -> None:
    for event in (UnitEvent.READY, UnitEvent.DEGRADED, UnitEvent.SILENT, UnitEvent.UNHEALTHY):
        assert next_transition(State.STOPPING, event).state is State.STOPPING


def test_state_sets_are_consistent() -> None:
    assert READY_STATES < SETTLED_STATES
    assert State.FAILING not in SETTLED_STATES
    assert State.RESTART_PENDING not in RUNNING_STATES
