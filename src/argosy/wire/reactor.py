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
    """One thread's source of events; every method is for that thread only.

    is_shared: others may act before this tick ends, so that what they send can leave together.
    """

    is_shared: bool

    def watch(self, fd: int, ready: Act) -> None:
        """Call `ready` whenever the descriptor is readable."""

    def unwatch(self, fd: int) -> None:
        """Forget the descriptor."""

    def watch_writable(self, fd: int, ready: Act) -> None:
        """Call `ready` whenever the descriptor takes more."""

    def unwatch_writable(self, fd: int) -> None:
        """Forget that."""

    def later(self, delay_s: float, act: Act) -> Timer:
        """Call `act` once, in so many seconds."""

    def soon(self, act: Act) -> None:
        """Call `act` at the end of this tick."""


class LoopReactor:
    """An asyncio loop (or uvloop) as a reactor."""

    is_shared = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def watch(self, fd: int, ready: Act) -> None:
        self.loop.add_reader(fd, ready)

    def unwatch(self, fd: int) -> None:
        self.loop.remove_reader(fd)

    def watch_writable(self, fd: int, ready: Act) -> None:
        self.loop.add_writer(fd, ready)

    def unwatch_writable(self, fd: int) -> None:
        self.loop.remove_writer(fd)

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

    is_shared = False

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readable: dict[int, Act] = {}
        self._writable: dict[int, Act] = {}
        self._alarms: list[_Alarm] = []
        self._soon: list[Act] = []
        self._count = 0

    def watch(self, fd: int, ready: Act) -> None:
        self._readable[fd] = ready
        self._register(fd)

    def unwatch(self, fd: int) -> None:
        if self._readable.pop(fd, None):
            self._register(fd)

    def watch_writable(self, fd: int, ready: Act) -> None:
        self._writable[fd] = ready
        self._register(fd)

    def unwatch_writable(self, fd: int) -> None:
        if self._writable.pop(fd, None):
            self._register(fd)

    def _register(self, fd: int) -> None:
        mask = (select.POLLIN if fd in self._readable else 0) | (
            select.POLLOUT if fd in self._writable else 0
        )
        if mask:
            self._poll.register(fd, mask)
        else:
            self._poll.unregister(fd)

    def later(self, delay_s: float, act: Act) -> Timer:
        self._count += 1
        alarm = _Alarm(time.monotonic() + delay_s, self._count, act)
        heapq.heappush(self._alarms, alarm)
        return alarm

    def soon(self, act: Act) -> None:
        self._soon.append(act)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Turn events until `done` is true; what is due at once first looks at what has happened."""
        if self._soon:
            self._turn(0)
        while not done():
            self._turn(self._patience_ms())

    def _turn(self, timeout_ms: float | None) -> None:
        for fd, what in self._poll.poll(timeout_ms):
            if what != select.POLLOUT and (readable := self._readable.get(fd)):
                readable()
            if what & select.POLLOUT and (writable := self._writable.get(fd)):
                writable()
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
