"""An agent of another machine, by the last status that this machine's supervisor has received."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from argosy.engine.protocol.messages import AgentStatus
from argosy.engine.protocol.state_machine import FINAL_STATES, READY_STATES, RUNNING_STATES, State
from argosy.engine.unit.heartbeat import with_silence

if TYPE_CHECKING:
    from argosy.engine.plan.peering_plan import RemoteAgentSpec


class Reachability(Protocol):
    """Whether a machine is reachable.

    is_timed_out: it was not reached within the timeout. is_marked_failed: it is known to have failed.
    since_s: epoch seconds of the last change. description: the state in words.
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
    """One agent of another machine.

    started_at, ready_at: loop time at which these were received, of its last start. pending_apply_id: the
    apply that is to start it, while a received final state may be from before that; else empty.
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
        """Its last state; without one, by its machine: reachable, timed out, or failed."""
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
        """Whether its last state is a ready one, so that dependents may start."""
        return self.state in READY_STATES

    @property
    def is_reachable(self) -> bool:
        """Whether its machine is connected now."""
        return self.reachability.is_connected

    @property
    def has_process(self) -> bool:
        """Whether it is known to have a process; always False on an unreachable machine."""
        return self.is_reachable and self.state in RUNNING_STATES

    @property
    def reason(self) -> str:
        """The reason of its state."""
        if not self.is_reachable and not self.is_ready:
            return self.reachability.description
        if self.status is None:
            return f"not started on `{self.spec.machine}`"
        return self.status.reason

    @property
    def pid(self) -> int | None:
        """The pid of its process there, None if there was none."""
        return self.status.pid if self.status else None

    def consume_change(self) -> bool:
        """Return whether its state or pid has changed since the last call."""
        before, self._last_observed = self._last_observed, (self.state, self.pid)
        return before != self._last_observed

    @property
    def silent_s(self) -> float | None:
        """How long it has sent no heartbeat: as its machine reported, plus the time since the report."""
        reported_s = self.status.silent_s if self.status else None
        return None if reported_s is None else reported_s + time.monotonic() - self._received_at

    @property
    def last_lines(self) -> list[str]:
        """Its last output, if it was given up."""
        return self.status.last_lines if self.status else []

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return self.spec.need_names()

    def expect_apply(self, apply_id: str) -> None:
        """Expect it to be started by this apply: its previous final state does not count."""
        if self.status is None or self.status.apply_id != apply_id:
            self.pending_apply_id = apply_id

    def update_status(self, status: AgentStatus, now: float) -> None:
        """Set the status received from its machine at loop time `now`."""
        before = self.state
        self.status, self._received_at = status, time.monotonic()
        if status.state not in FINAL_STATES or status.apply_id == self.pending_apply_id:
            self.pending_apply_id = ""
        if self.state is State.STARTING and before is not State.STARTING:
            self.started_at, self.ready_at = now, None
        if self.is_ready and before not in READY_STATES:
            self.ready_at = now

    def copy_status_from(self, previous: RemoteAgent) -> None:
        """Take over the last status from another object of the same agent."""
        self.status, self._received_at = previous.status, previous._received_at

    def to_status(self) -> AgentStatus:
        """Return its status to show; of one on a failed machine with its last pid."""
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
        """Set the last sample of its memory."""
        if self.status is not None:
            self.status = msgspec.structs.replace(
                self.status, rss_bytes=rss_bytes, pss_bytes=pss_bytes, sampled_s=sampled_s
            )
