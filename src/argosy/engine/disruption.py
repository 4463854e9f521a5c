"""Faults that a drill asks for: the supervisor sends the signal itself, so that it knows whose fault it is.

Only a ready agent gets one, judged in the same tick as the signal is sent. A process that was frozen
goes on whatever becomes of the client that asked for it.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.messages import Disrupted
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from argosy.engine.control import Asker
    from argosy.engine.crew import Crew
    from argosy.engine.messages import Disrupt
    from argosy.engine.unit import Unit

_SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


class _Frozen(NamedTuple):
    """A unit whose process is stopped, and the timer that lets it go on."""

    unit: Unit
    timer: asyncio.TimerHandle


class Disruptions:
    """The faults of the drills that run; at most one frozen process a client."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._frozen: dict[Asker, _Frozen] = {}

    def begin(self, asker: Asker, request: Disrupt) -> Disrupted:
        """Kill or freeze one agent's process.

        Raises RefusedError: the agent is not of this machine, or not ready, or another machine asks.
        """
        if asker.origin:
            raise RefusedError(Fault(request.agent, "other-machine", "a drill strikes where it is typed"))
        unit = self._ready(request.agent)
        pid = unit.pid
        assert pid is not None, "what is ready has a process"
        self.end(asker)
        if request.kind == "freeze":
            timer = self._crew.loop.call_later(request.within_s, self.end, asker)
            self._frozen[asker] = _Frozen(unit.host, timer)
        self._crew.diary.note("drill", agent=unit.name, pid=pid, text=request.kind)
        at_s = time.time()
        unit.host.disrupt(_SIGNALS[request.kind])
        return Disrupted(agent=unit.name, pid=pid, at_s=at_s)

    def end(self, asker: Asker) -> None:
        """Let the process go on that was frozen for this client."""
        frozen = self._frozen.pop(asker, None)
        if frozen is not None:
            frozen.timer.cancel()
            frozen.unit.thaw()

    def keep(self, askers: Collection[Asker]) -> None:
        """Let everything go on that was frozen for others than these."""
        for asker in self._frozen.keys() - set(askers):
            self.end(asker)

    def _ready(self, name: str) -> Unit:
        unit = self._crew.units.get(name)
        if unit is None:
            hint = "`argosy status` lists them"
            raise RefusedError(Fault(name, "unknown-agent", f"no agent `{name}` runs here", hint))
        if not unit.is_ready or not unit.host.is_ready:
            message = f"`{name}` is {unit.state.value}; a drill strikes only what is ready"
            raise RefusedError(Fault(name, "not-ready", message, "`argosy status` tells why it is not ready"))
        return unit
