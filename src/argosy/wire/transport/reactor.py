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

Callback = Callable[[], object]


class Timer(Protocol):
    """A pending act that can be called off."""

    def cancel(self) -> None: ...


class Reactor(Protocol):
    """One thread's source of events; every method is for that thread only.

    is_shared: others may act before this tick ends, so that what they send can leave together.
    """

    is_shared: bool

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call `ready` whenever the descriptor is readable."""

    def remove_reader(self, fd: int) -> None:
        """Forget the descriptor."""

    def add_writer(self, fd: int, callback: Callback) -> None:
        """Call `ready` whenever the descriptor takes more."""

    def remove_writer(self, fd: int) -> None:
        """Forget that."""

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        """Call `act` once, in so many seconds."""

    def call_soon(self, callback: Callback) -> None:
        """Call `act` at the end of this tick."""


class LoopReactor:
    """An asyncio loop (or uvloop) as a reactor."""

    is_shared = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def add_reader(self, fd: int, callback: Callback) -> None:
        self.loop.add_reader(fd, callback)

    def remove_reader(self, fd: int) -> None:
        self.loop.remove_reader(fd)

    def add_writer(self, fd: int, callback: Callback) -> None:
        self.loop.add_writer(fd, callback)

    def remove_writer(self, fd: int) -> None:
        self.loop.remove_writer(fd)

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        return self.loop.call_later(delay_s, callback)

    def call_soon(self, callback: Callback) -> None:
        self.loop.call_soon(callback)


class _ScheduledCallback:
    """A timer of a BlockingReactor; ordered by its time, then by its age."""

    __slots__ = ("callback", "due_s", "number")

    def __init__(self, due_s: float, number: int, callback: Callback) -> None:
        self.due_s = due_s
        self.number = number
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: _ScheduledCallback) -> bool:
        return (self.due_s, self.number) < (other.due_s, other.number)


class BlockingReactor:
    """A thread that turns its own events for as long as it waits; idle, it costs nothing."""

    is_shared = False

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readable: dict[int, Callback] = {}
        self._writable: dict[int, Callback] = {}
        self._timers: list[_ScheduledCallback] = []
        self._next_tick: list[Callback] = []
        self._count = 0

    def add_reader(self, fd: int, callback: Callback) -> None:
        self._readable[fd] = callback
        self._register(fd)

    def remove_reader(self, fd: int) -> None:
        if self._readable.pop(fd, None):
            self._register(fd)

    def add_writer(self, fd: int, callback: Callback) -> None:
        self._writable[fd] = callback
        self._register(fd)

    def remove_writer(self, fd: int) -> None:
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

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        self._count += 1
        timer = _ScheduledCallback(time.monotonic() + delay_s, self._count, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def call_soon(self, callback: Callback) -> None:
        self._next_tick.append(callback)

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Turn events until `done` is true; what is due at once first looks at what has happened."""
        if self._next_tick:
            self._run_once(0)
        while not is_done():
            self._run_once(self._poll_timeout_ms())

    def _run_once(self, timeout_ms: float | None) -> None:
        for fd, events in self._poll.poll(timeout_ms):
            if events != select.POLLOUT and (readable := self._readable.get(fd)):
                readable()
            if events & select.POLLOUT and (writable := self._writable.get(fd)):
                writable()
        if self._timers:
            self._run_due_timers()
        if self._next_tick:
            callbacks, self._next_tick = self._next_tick, []
            for callback in callbacks:
                callback()

    def _poll_timeout_ms(self) -> float | None:
        if self._next_tick:
            return 0
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, (self._timers[0].due_s - time.monotonic()) * 1000)

    def _run_due_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].due_s <= now:
            callback = heapq.heappop(self._timers).callback
            if callback:
                callback()
