"""The state machine of an agent: one table of (state, event) to (state, action).

    waiting -> starting -> ready <-> degraded
       ^          |          |  \\-> failing
       |          v          v
    restart-pending <--- (exit, by policy) ---> exited | given-up
    blocked: a need will not come.   stopping: told to end (by a person, the start deadline
    or the watchdog), not gone yet; what follows is the policy's word as for any exit.
    degraded: by its own word, for want of a need, or because it beats no more (`silence`).

Deciding is here, doing is in `unit`: the policy (`decide_exit`) turns an exit into the event
FINISHED, RETRY or GIVE_UP before the table is asked. Whatever leads out of the ready states, the
unit tells its dependents. A pair that the table does not name is a late or impossible event, and
changes nothing; a test visits every pair.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """What an agent is, in the words of the contract."""

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
    """What can happen to an agent."""

    START = "start"  # it is wanted up
    NEEDS_READY = "needs-ready"  # everything it needs is ready
    NEED_FAILED = "need-failed"  # something it needs will not come
    NEED_POSSIBLE_AGAIN = "need-revived"  # what blocked it may come after all
    READY = "ready"  # it says so, or its probe does
    DEGRADED = "degraded"  # it is ready and says that something is amiss
    SILENT = "silent"  # it beat as long as it was well, and has not for a while
    UNHEALTHY = "unhealthy"  # it says that it fails, or its liveness does
    TIMEOUT = "timeout"  # not ready by its start deadline
    FROZEN = "frozen"  # its watchdog or liveness probe ran out
    FINISHED = "finished"  # it ended, and shall not be started again
    RETRY = "retry"  # it ended, and shall be
    GIVE_UP = "give-up"  # it ended once too often, or by what no retry changes
    BACKOFF_OVER = "backoff-over"  # the wait before a restart is over
    STOP = "stop"  # it is wanted down


class UnitAction(StrEnum):
    """What the unit does on a transition."""

    NONE = "none"
    CHECK_NEEDS = "check-needs"  # start at once if everything needed is ready
    SPAWN = "spawn"
    NOTIFY_DEPENDENTS = "announce"  # dependents may go on
    UPDATE_REASON = "retell"  # the state stays, its reason may be another
    TERMINATE = "terminate"  # TERM, then KILL after the grace
    BACK_OFF = "back-off"
    FINALIZE = "conclude"  # nothing more will happen by itself: dependents are blocked


class Transition(NamedTuple):
    """Where an event leads, and what to do on the way."""

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
    """Return where `event` leads from `state`; a late or impossible event leads nowhere."""
    return TRANSITIONS[state].get(event, Transition(state, UnitAction.NONE))
