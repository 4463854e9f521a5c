"""Fault injection for drills: the supervisor sends the signal itself, so it knows the cause of the exit.

Only a ready agent gets a fault; it is checked in the same loop iteration in which the signal is sent. A
frozen process is resumed whatever happens to the client that asked for it.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.protocol.messages import FaultInjected
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from argosy.engine.control.control_server import ClientSession
    from argosy.engine.protocol.messages import InjectFault
    from argosy.engine.supervisor.unit_set import UnitSet
    from argosy.engine.unit.unit import Unit

_SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


class _FrozenUnit(NamedTuple):
    """A unit whose process is stopped, and the timer that resumes it."""

    unit: Unit
    timer: asyncio.TimerHandle


class FaultInjector:
    """The injected faults of all running drills; at most one frozen process per client."""

    def __init__(self, unit_set: UnitSet) -> None:
        self._unit_set = unit_set
        self._frozen: dict[ClientSession, _FrozenUnit] = {}

    def inject(self, session: ClientSession, request: InjectFault) -> FaultInjected:
        """Kill or freeze one agent's process.

        Raises RefusedError: the agent is not ready or not of this machine, or another machine asks.
        """
        if session.origin:
            message = "a drill injects faults only locally"
            raise RefusedError(Fault(request.agent, "other-machine", message))
        unit = self._find_ready_unit(request.agent)
        process_unit, pid = self._unit_set.process_unit(unit), unit.pid
        assert pid is not None, "a ready agent has a process"
        self.resume_for(session)
        if request.kind == "freeze":
            timer = self._unit_set.loop.call_later(request.max_duration_s, self.resume_for, session)
            self._frozen[session] = _FrozenUnit(process_unit, timer)
        self._unit_set.event_log.append("fault-injected", agent=unit.name, pid=pid, text=request.kind)
        at_s = time.time()
        process_unit.inject_fault(_SIGNALS[request.kind])
        return FaultInjected(agent=unit.name, pid=pid, at_s=at_s)

    def resume_for(self, session: ClientSession) -> None:
        """Resume the process that was frozen for this client."""
        frozen = self._frozen.pop(session, None)
        if frozen is not None:
            frozen.timer.cancel()
            frozen.unit.resume()

    def resume_all_except(self, sessions: Collection[ClientSession]) -> None:
        """Resume all processes that were frozen for other clients than these."""
        for session in self._frozen.keys() - set(sessions):
            self.resume_for(session)

    def _find_ready_unit(self, name: str) -> Unit:
        unit = self._unit_set.units.get(name)
        if unit is None:
            hint = "`argosy status` lists them"
            raise RefusedError(Fault(name, "unknown-agent", f"no agent `{name}` runs here", hint))
        if not unit.is_ready or not self._unit_set.process_unit(unit).is_ready:
            message = f"`{name}` is {unit.state.value}; a drill injects faults only into ready agents"
            raise RefusedError(Fault(name, "not-ready", message, "`argosy status` shows why it is not ready"))
        return unit
