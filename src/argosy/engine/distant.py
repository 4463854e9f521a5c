"""An agent of another machine, as the supervisor of this one knows it: what was heard last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from argosy.engine.beats import in_silence
from argosy.engine.messages import AgentStatus
from argosy.engine.state import FINAL_STATES, READY_STATES, RUNNING_STATES, State

if TYPE_CHECKING:
    from argosy.engine.linkplan import Foreign


class Sight(Protocol):
    """Whether a machine is seen.

    is_lost: it was waited for long enough and has not been seen since. is_gone: it is not only out of
    sight. since_s: epoch seconds since when it is so. words: that, for people.
    """

    @property
    def is_linked(self) -> bool: ...
    @property
    def is_lost(self) -> bool: ...
    @property
    def is_gone(self) -> bool: ...
    @property
    def since_s(self) -> float: ...
    @property
    def words(self) -> str: ...


class Distant:
    """One agent elsewhere.

    started_at, ready_at: loop time at which that was heard, of its last start. awaited: the order
    by which it has been asked for, while a final state that was heard may be from before; empty else.
    """

    def __init__(self, name: str, spec: Foreign, sight: Sight) -> None:
        self.name = name
        self.spec = spec
        self.sight = sight
        self.status: AgentStatus | None = None
        self.awaited = ""
        self.started_at = 0.0
        self.ready_at: float | None = None
        self._noted: tuple[State, int | None] = (State.WAITING, None)
        self._heard_at = 0.0  # on the monotonic clock

    @property
    def state(self) -> State:
        """Its last state, or what is left to say: it may come yet, it may not, its machine is gone."""
        if self.sight.is_gone:
            return State.EXITED
        if self.status is None:
            if not self.sight.is_linked:
                return State.BLOCKED if self.sight.is_lost else State.WAITING
            return State.WAITING if self.awaited else State.EXITED
        is_old = bool(self.awaited) and self.status.state in FINAL_STATES
        if is_old:
            return State.BLOCKED if self.sight.is_lost else State.WAITING
        return self.status.state

    @property
    def is_ready(self) -> bool:
        """Whether dependents may count on it: its last word is that it is ready."""
        return self.state in READY_STATES

    @property
    def is_in_sight(self) -> bool:
        """Whether its machine is seen now."""
        return self.sight.is_linked

    @property
    def has_process(self) -> bool:
        """Whether it is known to have a process; of a machine that is not seen nobody knows."""
        return self.is_in_sight and self.state in RUNNING_STATES

    @property
    def reason(self) -> str:
        """Why it is what it is."""
        if not self.is_in_sight and not self.is_ready:
            return self.sight.words
        if self.status is None:
            return f"not started on `{self.spec.machine}`"
        return self.status.reason

    @property
    def pid(self) -> int | None:
        """The number of its process there, None when there was none."""
        return self.status.pid if self.status else None

    def is_news(self) -> bool:
        """Return whether it is another than at the last call."""
        before, self._noted = self._noted, (self.state, self.pid)
        return before != self._noted

    @property
    def silent_s(self) -> float | None:
        """How long it has not beaten, as its machine told and by the time that has passed since."""
        told_s = self.status.silent_s if self.status else None
        return None if told_s is None else told_s + time.monotonic() - self._heard_at

    @property
    def last_lines(self) -> list[str]:
        """What it printed last, of one that was given up."""
        return self.status.last_lines if self.status else []

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return self.spec.need_names()

    def await_order(self, order: str) -> None:
        """Take note that it has been asked for by this order: what it was before says nothing."""
        if self.status is None or self.status.order != order:
            self.awaited = order

    def hear(self, status: AgentStatus, now: float) -> None:
        """Take its status as its machine tells it, at loop time `now`."""
        before = self.state
        self.status, self._heard_at = status, time.monotonic()
        if status.state not in FINAL_STATES or status.order == self.awaited:
            self.awaited = ""
        if self.state is State.STARTING and before is not State.STARTING:
            self.started_at, self.ready_at = now, None
        if self.is_ready and before not in READY_STATES:
            self.ready_at = now

    def take_over(self, known: Distant) -> None:
        """Know what was heard last by another of the same agent."""
        self.status, self._heard_at = known.status, known._heard_at

    def report(self) -> AgentStatus:
        """Return its status for people; of one that went with its machine with the pid that it had last."""
        if self.status is not None and not self.sight.is_gone:
            return self.status if self.silent_s is None else in_silence(self.status, self.silent_s)
        return AgentStatus(
            state=self.state,
            health=None,
            pid=self.pid,
            machine=self.spec.machine,
            group=self.spec.group,
            port=self.spec.port,
            restarts=0,
            since_s=self.sight.since_s if self.sight.is_gone else 0.0,
            waiting_on=[],
            reason=self.reason,
            rss_bytes=None,
            pss_bytes=None,
            sampled_s=None,
            required=self.spec.required,
        )

    def measure(self, rss_bytes: int, pss_bytes: int, sampled_s: float) -> None:
        """Take a sample of its memory."""
        if self.status is not None:
            self.status = msgspec.structs.replace(
                self.status, rss_bytes=rss_bytes, pss_bytes=pss_bytes, sampled_s=sampled_s
            )
