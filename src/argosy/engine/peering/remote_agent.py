"""An agent of another machine, as the supervisor of this one knows it: what was heard last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from argosy.engine.supervisor.messages import AgentStatus
from argosy.engine.unit.heartbeat import with_silence
from argosy.engine.unit.state_machine import FINAL_STATES, READY_STATES, RUNNING_STATES, State

if TYPE_CHECKING:
    from argosy.engine.peering.peering_plan import RemoteAgentSpec


class Reachability(Protocol):
    """Whether a machine is seen.

    is_lost: it was waited for long enough and has not been seen since. is_gone: it is not only out of
    sight. since_s: epoch seconds since when it is so. words: that, for people.
    """

    @property
    def is_connected(self) -> bool: ...
    @property
    def is_timed_out(self) -> bool: ...
    @property
    def is_marked_failed(self) -> bool: ...
    @property
    def since_s(self) -> float: ...
    @property
    def description(self) -> str: ...


class RemoteAgent:
    """One agent elsewhere.

    started_at, ready_at: loop time at which that was heard, of its last start. awaited: the order
    by which it has been asked for, while a final state that was heard may be from before; empty else.
    """

    def __init__(self, name: str, spec: RemoteAgentSpec, reachability: Reachability) -> None:
        self.name = name
        self.spec = spec
        self.reachability = reachability
        self.status: AgentStatus | None = None
        self.pending_apply_id = ""
        self.started_at = 0.0
        self.ready_at: float | None = None
        self._last_observed: tuple[State, int | None] = (State.WAITING, None)
        self._received_at = 0.0  # on the monotonic clock

    @property
    def state(self) -> State:
        """Its last state, or what is left to say: it may come yet, it may not, its machine is gone."""
        if self.reachability.is_marked_failed:
            return State.EXITED
        if self.status is None:
            if not self.reachability.is_connected:
                return State.BLOCKED if self.reachability.is_timed_out else State.WAITING
            return State.WAITING if self.pending_apply_id else State.EXITED
        is_old = bool(self.pending_apply_id) and self.status.state in FINAL_STATES
        if is_old:
            return State.BLOCKED if self.reachability.is_timed_out else State.WAITING
        return self.status.state

    @property
    def is_ready(self) -> bool:
        """Whether dependents may count on it: its last word is that it is ready."""
        return self.state in READY_STATES

    @property
    def is_reachable(self) -> bool:
        """Whether its machine is seen now."""
        return self.reachability.is_connected

    @property
    def has_process(self) -> bool:
        """Whether it is known to have a process; of a machine that is not seen nobody knows."""
        return self.is_reachable and self.state in RUNNING_STATES

    @property
    def reason(self) -> str:
        """Why it is what it is."""
        if not self.is_reachable and not self.is_ready:
            return self.reachability.description
        if self.status is None:
            return f"not started on `{self.spec.machine}`"
        return self.status.reason

    @property
    def pid(self) -> int | None:
        """The number of its process there, None when there was none."""
        return self.status.pid if self.status else None

    def consume_change(self) -> bool:
        """Return whether it is another than at the last call."""
        before, self._last_observed = self._last_observed, (self.state, self.pid)
        return before != self._last_observed

    @property
    def silent_s(self) -> float | None:
        """How long it has not beaten, as its machine told and by the time that has passed since."""
        reported_s = self.status.silent_s if self.status else None
        return None if reported_s is None else reported_s + time.monotonic() - self._received_at

    @property
    def last_lines(self) -> list[str]:
        """What it printed last, of one that was given up."""
        return self.status.last_lines if self.status else []

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return self.spec.need_names()

    def expect_apply(self, apply_id: str) -> None:
        """Take note that it has been asked for by this order: what it was before says nothing."""
        if self.status is None or self.status.apply_id != apply_id:
            self.pending_apply_id = apply_id

    def update_status(self, status: AgentStatus, now: float) -> None:
        """Take its status as its machine tells it, at loop time `now`."""
        before = self.state
        self.status, self._received_at = status, time.monotonic()
        if status.state not in FINAL_STATES or status.apply_id == self.pending_apply_id:
            self.pending_apply_id = ""
        if self.state is State.STARTING and before is not State.STARTING:
            self.started_at, self.ready_at = now, None
        if self.is_ready and before not in READY_STATES:
            self.ready_at = now

    def copy_status_from(self, previous: RemoteAgent) -> None:
        """Know what was heard last by another of the same agent."""
        self.status, self._received_at = previous.status, previous._received_at

    def to_status(self) -> AgentStatus:
        """Return its status for people; of one that went with its machine with the pid that it had last."""
        if self.status is not None and not self.reachability.is_marked_failed:
            return self.status if self.silent_s is None else with_silence(self.status, self.silent_s)
        return AgentStatus(
            state=self.state,
            health=None,
            pid=self.pid,
            machine=self.spec.machine,
            group=self.spec.group,
            port=self.spec.port,
            restarts=0,
            since_s=self.reachability.since_s if self.reachability.is_marked_failed else 0.0,
            waiting_on=[],
            reason=self.reason,
            rss_bytes=None,
            pss_bytes=None,
            sampled_s=None,
            required=self.spec.required,
        )

    def update_memory(self, rss_bytes: int, pss_bytes: int, sampled_s: float) -> None:
        """Take a sample of its memory."""
        if self.status is not None:
            self.status = msgspec.structs.replace(
                self.status, rss_bytes=rss_bytes, pss_bytes=pss_bytes, sampled_s=sampled_s
            )
