"""Detects agents whose heartbeats have stopped, also where no watchdog would end them.

Each agent of the library sends a heartbeat every 2 s from the loop that does its work. All are checked once
a second; a timer for each would cost more. A pause of the supervisor itself does not count: it is
subtracted, and pending messages are read before the check (`AgentMonitor.has_fallen_silent`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from argosy.agent.health import Status
from argosy.engine.protocol.state_machine import State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from argosy.engine.protocol.messages import AgentStatus

CHECK_INTERVAL_S: Final = 1.0


def describe_silence(seconds: float) -> str:
    """Return the description of an agent that sent no heartbeat for so long."""
    return f"silent for {seconds:.0f} s"


def with_silence(status: AgentStatus, silent_s: float) -> AgentStatus:
    """Return the status of an agent that is silent: its last health report is outdated."""
    if status.state is State.DEGRADED:
        return msgspec.structs.replace(
            status, health=Status.DEGRADED.value, reason=describe_silence(silent_s), silent_s=silent_s
        )
    return msgspec.structs.replace(status, silent_s=silent_s)


class WatchedUnit(Protocol):
    """A unit whose heartbeats are checked."""

    def check_heartbeat(self, now: float, pause_s: float) -> None:
        """Become degraded if the heartbeats have stopped. pause_s: how long the supervisor was paused."""


class HeartbeatWatch:
    """Checks `units()` at an interval, until it is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, units: Callable[[], Iterable[WatchedUnit]]) -> None:
        self._loop = loop
        self._units = units
        self._due = loop.time() + CHECK_INTERVAL_S
        self._timer = loop.call_at(self._due, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        late_s = now - self._due
        for unit in list(self._units()):
            unit.check_heartbeat(now, late_s if late_s > CHECK_INTERVAL_S else 0.0)
        self._due = self._loop.time() + CHECK_INTERVAL_S
        self._timer = self._loop.call_at(self._due, self._check)

    def close(self) -> None:
        """Stop checking."""
        self._timer.cancel()
