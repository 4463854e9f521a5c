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


class Event(StrEnum):
    """What can happen to an agent."""

    START = "start"  # it is wanted up
    NEEDS_READY = "needs-ready"  # everything it needs is ready
    NEED_FAILED = "need-failed"  # something it needs will not come
    NEED_REVIVED = "need-revived"  # what blocked it may come after all
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


class Action(StrEnum):
    """What the unit does on a transition."""

    NONE = "none"
    CHECK_NEEDS = "check-needs"  # start at once if everything needed is ready
    SPAWN = "spawn"
    ANNOUNCE = "announce"  # dependents may go on
    RETELL = "retell"  # the state stays, its reason may be another
    TERMINATE = "terminate"  # TERM, then KILL after the grace
    BACK_OFF = "back-off"
    CONCLUDE = "conclude"  # nothing more will happen by itself: dependents are blocked


class Transition(NamedTuple):
    """Where an event leads, and what to do on the way."""

    state: State
    action: Action


_S, _E, _A = State, Event, Action

_ENDS: dict[Event, Transition] = {
    _E.FINISHED: Transition(_S.EXITED, _A.CONCLUDE),
    _E.RETRY: Transition(_S.RESTART_PENDING, _A.BACK_OFF),
    _E.GIVE_UP: Transition(_S.GIVEN_UP, _A.CONCLUDE),
}
_RUNS: dict[Event, Transition] = {
    **_ENDS,
    _E.FROZEN: Transition(_S.STOPPING, _A.TERMINATE),
    _E.STOP: Transition(_S.STOPPING, _A.TERMINATE),
}
_RESTS: dict[Event, Transition] = {_E.START: Transition(_S.WAITING, _A.CHECK_NEEDS)}

TABLE: dict[State, dict[Event, Transition]] = {
    _S.WAITING: {
        _E.START: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.NEEDS_READY: Transition(_S.STARTING, _A.SPAWN),
        _E.NEED_FAILED: Transition(_S.BLOCKED, _A.CONCLUDE),
        _E.STOP: Transition(_S.EXITED, _A.CONCLUDE),
    },
    _S.STARTING: {
        **_RUNS,
        _E.READY: Transition(_S.READY, _A.ANNOUNCE),
        _E.DEGRADED: Transition(_S.DEGRADED, _A.ANNOUNCE),
        _E.TIMEOUT: Transition(_S.STOPPING, _A.TERMINATE),
    },
    _S.READY: {
        **_RUNS,
        _E.DEGRADED: Transition(_S.DEGRADED, _A.NONE),
        _E.SILENT: Transition(_S.DEGRADED, _A.NONE),
        _E.UNHEALTHY: Transition(_S.FAILING, _A.NONE),
    },
    _S.DEGRADED: {
        **_RUNS,
        _E.READY: Transition(_S.READY, _A.NONE),
        _E.DEGRADED: Transition(_S.DEGRADED, _A.RETELL),
        _E.SILENT: Transition(_S.DEGRADED, _A.RETELL),
        _E.UNHEALTHY: Transition(_S.FAILING, _A.NONE),
    },
    _S.FAILING: {
        **_RUNS,
        _E.READY: Transition(_S.READY, _A.ANNOUNCE),
        _E.DEGRADED: Transition(_S.DEGRADED, _A.ANNOUNCE),
    },
    _S.RESTART_PENDING: {
        _E.START: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.BACKOFF_OVER: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.GIVE_UP: _ENDS[_E.GIVE_UP],
        _E.STOP: Transition(_S.EXITED, _A.CONCLUDE),
    },
    _S.STOPPING: dict(_ENDS),
    _S.EXITED: dict(_RESTS),
    _S.GIVEN_UP: dict(_RESTS),
    _S.BLOCKED: {
        **_RESTS,
        _E.NEED_REVIVED: Transition(_S.WAITING, _A.CHECK_NEEDS),
        _E.NEEDS_READY: Transition(_S.STARTING, _A.SPAWN),
        _E.STOP: Transition(_S.EXITED, _A.CONCLUDE),
    },
}

READY_STATES = frozenset({State.READY, State.DEGRADED})
RUNNING_STATES = frozenset({State.STARTING, State.READY, State.DEGRADED, State.FAILING, State.STOPPING})
SETTLED_STATES = READY_STATES | {State.EXITED, State.GIVEN_UP, State.BLOCKED}
FINAL_STATES = frozenset({State.EXITED, State.GIVEN_UP, State.BLOCKED})


def step(state: State, event: Event) -> Transition:
    """Return where `event` leads from `state`; a late or impossible event leads nowhere."""
    return TABLE[state].get(event, Transition(state, Action.NONE))
