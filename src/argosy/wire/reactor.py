"""What drives a channel: descriptors, timers and the end of a tick, on a loop or in a blocked thread.

The protocol is written once, against `Reactor`. On asyncio it is the running loop; a plain
script's thread drives it itself for as long as it waits for its reply.
"""

from __future__ import annotations

import asyncio
import heapq
import select
import time
from collections.abc import Callable
from typing import Protocol

Act = Callable[[], object]


class Timer(Protocol):
    """A pending act that can be called off."""

    def cancel(self) -> None: ...


class Reactor(Protocol):
    """One thread's source of events; every method is for that thread only."""

    def watch(self, fd: int, ready: Act) -> None:
        """Call `ready` whenever the descriptor is readable."""

    def unwatch(self, fd: int) -> None:
        """Forget the descriptor."""

    def later(self, delay_s: float, act: Act) -> Timer:
        """Call `act` once, in so many seconds."""

    def soon(self, act: Act) -> None:
        """Call `act` at the end of this tick."""


class LoopReactor:
    """An asyncio loop (or uvloop) as a reactor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def watch(self, fd: int, ready: Act) -> None:
        self.loop.add_reader(fd, ready)

    def unwatch(self, fd: int) -> None:
        self.loop.remove_reader(fd)

    def later(self, delay_s: float, act: Act) -> Timer:
        return self.loop.call_later(delay_s, act)

    def soon(self, act: Act) -> None:
        self.loop.call_soon(act)


class _Alarm:
    """A timer of a BlockingReactor; ordered by its time, then by its age."""

    __slots__ = ("act", "at", "number")

    def __init__(self, at: float, number: int, act: Act) -> None:
        self.at = at
        self.number = number
        self.act: Act | None = act

    def cancel(self) -> None:
        self.act = None

    def __lt__(self, other: _Alarm) -> bool:
        return (self.at, self.number) < (other.at, other.number)


class BlockingReactor:
    """A thread that turns its own events for as long as it waits; idle, it costs nothing."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._ready: dict[int, Act] = {}
        self._alarms: list[_Alarm] = []
        self._soon: list[Act] = []
        self._count = 0

    def watch(self, fd: int, ready: Act) -> None:
        self._ready[fd] = ready
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        if self._ready.pop(fd, None):
            self._poll.unregister(fd)

    def later(self, delay_s: float, act: Act) -> Timer:
        self._count += 1
        alarm = _Alarm(time.monotonic() + delay_s, self._count, act)
        heapq.heappush(self._alarms, alarm)
        return alarm

    def soon(self, act: Act) -> None:
        self._soon.append(act)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Turn events until `done` is true; what happened meanwhile to idle lanes is seen first."""
        self._turn(0)
        while not done():
            self._turn(self._patience_ms())

    def _turn(self, timeout_ms: float | None) -> None:
        for fd, _ in self._poll.poll(timeout_ms):
            ready = self._ready.get(fd)
            if ready:
                ready()
        if self._alarms:
            self._ring()
        if self._soon:
            acts, self._soon = self._soon, []
            for act in acts:
                act()

    def _patience_ms(self) -> float | None:
        if self._soon:
            return 0
        while self._alarms and self._alarms[0].act is None:
            heapq.heappop(self._alarms)
        if not self._alarms:
            return None
        return max(0.0, (self._alarms[0].at - time.monotonic()) * 1000)

    def _ring(self) -> None:
        now = time.monotonic()
        while self._alarms and self._alarms[0].at <= now:
            act = heapq.heappop(self._alarms).act
            if act:
                act()
