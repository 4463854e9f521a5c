"""The state machine of an agent: one table of (state, event) to (state, action).

    waiting -> starting -> ready <-> degraded
       ^          |          |  \\-> failing
       |          v          v
    restart-pending <--- (exit, by policy) ---> exited | given-up
    blocked: a need will not become ready.   stopping: told to exit (by a user, the start time-out
    or the watchdog), but still running; the policy decides what follows, as for any exit.
    degraded: by its own report, because of a lost need, or because its heartbeats stopped (`heartbeat`).

Deciding is here, doing is in `unit`: the policy (`decide_exit`) turns an exit into the event
FINISHED, RETRY or GIVE_UP before the table is asked. Whatever leads out of the ready states, the
unit notifies its dependents. A pair that the table does not name is a late or impossible event, and
changes nothing; a test visits every pair.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """The state of an agent, as `status` shows it."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    FAILING = "failing"
    RESTART_PENDING = "restart-pending"
    STOPPING = "stopping"
    EXITED = "exited"
    GIVEN_UP = "given-up"
    BLOCKED = "blocked"


class UnitEvent(StrEnum):
    """An event that concerns one agent."""

    START = "start"  # it is to run
    NEEDS_READY = "needs-ready"  # all its needs are ready
    NEED_FAILED = "need-failed"  # a need will not become ready
    NEED_POSSIBLE_AGAIN = "need-possible-again"  # the need that blocked it may become ready after all
    READY = "ready"  # reported by itself or by its probe
    DEGRADED = "degraded"  # it is ready and reports a problem
    SILENT = "silent"  # its heartbeats have stopped
    UNHEALTHY = "unhealthy"  # it reports a failure, or its liveness probe does
    TIMEOUT = "timeout"  # not ready by its start time-out
    FROZEN = "frozen"  # its watchdog or liveness probe ran out
    FINISHED = "finished"  # it exited, and is not to be restarted
    RETRY = "retry"  # it exited, and is to be restarted
    GIVE_UP = "give-up"  # it exited too often, or for a reason that no retry changes
    BACKOFF_OVER = "backoff-over"  # the delay before a restart is over
    STOP = "stop"  # it is to stop


class UnitAction(StrEnum):
    """What the unit does on a transition."""

    NONE = "none"
    CHECK_NEEDS = "check-needs"  # start at once if all needs are ready
    SPAWN = "spawn"
    NOTIFY_DEPENDENTS = "notify-dependents"  # dependents may start
    UPDATE_REASON = "update-reason"  # the state stays, its reason may change
    TERMINATE = "terminate"  # TERM, then KILL after the grace
    BACK_OFF = "back-off"
    FINALIZE = "finalize"  # nothing more happens by itself: dependents are blocked


class Transition(NamedTuple):
    """The next state, and the action on the way."""

    state: State
    action: UnitAction


_S, _E, _A = State, UnitEvent, UnitAction

_ON_EXIT: dict[UnitEvent, Transition] = {
    _E.FINISHED: Transition(_S.EXITED, _A.FINALIZE),
    _E.RETRY: Transition(_S.RESTART_PENDING, _A.BACK_OFF),
    _E.GIVE_UP: Transition(_S.GIVEN_UP, _A.FINALIZE),
}
_WHILE_RUNNING: dict[UnitEvent, Transition] = {
    **_ON_EXIT,
    _E.FROZEN: Transition(_S.STOPPING, _A.TERMINATE),
    _E.STOP: Transition(_S.STOPPING, _A.TERMINATE),
}
_AT_REST: dict[UnitEvent, Transition] = {_E.START: Transition(_S.WAITING, _A.CHECK_NEEDS)}

TRANSITIONS: dict[State, dict[UnitEvent, Transition]] = {
    _S.WAITING: {
        _E.START: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.NEEDS_READY: Transition(_S.STARTING, _A.SPAWN),
        _E.NEED_FAILED: Transition(_S.BLOCKED, _A.FINALIZE),
        _E.STOP: Transition(_S.EXITED, _A.FINALIZE),
    },
    _S.STARTING: {
        **_WHILE_RUNNING,
        _E.READY: Transition(_S.READY, _A.NOTIFY_DEPENDENTS),
        _E.DEGRADED: Transition(_S.DEGRADED, _A.NOTIFY_DEPENDENTS),
        _E.TIMEOUT: Transition(_S.STOPPING, _A.TERMINATE),
    },
    _S.READY: {
        **_WHILE_RUNNING,
        _E.DEGRADED: Transition(_S.DEGRADED, _A.NONE),
        _E.SILENT: Transition(_S.DEGRADED, _A.NONE),
        _E.UNHEALTHY: Transition(_S.FAILING, _A.NONE),
    },
    _S.DEGRADED: {
        **_WHILE_RUNNING,
        _E.READY: Transition(_S.READY, _A.NONE),
        _E.DEGRADED: Transition(_S.DEGRADED, _A.UPDATE_REASON),
        _E.SILENT: Transition(_S.DEGRADED, _A.UPDATE_REASON),
        _E.UNHEALTHY: Transition(_S.FAILING, _A.NONE),
    },
    _S.FAILING: {
        **_WHILE_RUNNING,
        _E.READY: Transition(_S.READY, _A.NOTIFY_DEPENDENTS),
        _E.DEGRADED: Transition(_S.DEGRADED, _A.NOTIFY_DEPENDENTS),
    },
    _S.RESTART_PENDING: {
        _E.START: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.BACKOFF_OVER: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.GIVE_UP: _ON_EXIT[_E.GIVE_UP],
        _E.STOP: Transition(_S.EXITED, _A.FINALIZE),
    },
    _S.STOPPING: dict(_ON_EXIT),
    _S.EXITED: dict(_AT_REST),
    _S.GIVEN_UP: dict(_AT_REST),
    _S.BLOCKED: {
        **_AT_REST,
        _E.NEED_POSSIBLE_AGAIN: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.NEEDS_READY: Transition(_S.STARTING, _A.SPAWN),
        _E.STOP: Transition(_S.EXITED, _A.FINALIZE),
    },
}

READY_STATES = frozenset({State.READY, State.DEGRADED})
RUNNING_STATES = frozenset({State.STARTING, State.READY, State.DEGRADED, State.FAILING, State.STOPPING})
SETTLED_STATES = READY_STATES | {State.EXITED, State.GIVEN_UP, State.BLOCKED}
FINAL_STATES = frozenset({State.EXITED, State.GIVEN_UP, State.BLOCKED})


def next_transition(state: State, event: UnitEvent) -> Transition:
    """Return the transition of `event` in `state`; a late or impossible event changes nothing."""
    return TRANSITIONS[state].get(event, Transition(state, UnitAction.NONE))
