"""The event source of a channel: descriptors, timers and ticks, on an asyncio loop or in a blocked thread.

The protocol is written once, against `Reactor`. On asyncio it is the running loop; a plain
thread runs it itself while it waits for its reply.
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
    """A scheduled callback that can be cancelled."""

    def cancel(self) -> None: ...


class Reactor(Protocol):
    """One thread's source of events; every method is for that thread only.

    is_shared: others may send before this tick ends, so that their messages can leave together.
    """

    is_shared: bool

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call `callback` whenever the descriptor is readable."""

    def remove_reader(self, fd: int) -> None:
        """Remove the reader."""

    def add_writer(self, fd: int, callback: Callback) -> None:
        """Call `callback` whenever the descriptor is writable."""

    def remove_writer(self, fd: int) -> None:
        """Remove the writer."""

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        """Call `callback` once, after `delay_s`."""

    def call_soon(self, callback: Callback) -> None:
        """Call `callback` at the end of this tick."""


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
    """A timer of a BlockingReactor; ordered by due time, then by age."""

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
    """A reactor that runs in a thread while it waits; it costs nothing when idle."""

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
        """Process events until `is_done` is true; callbacks due now run after a poll of the descriptors."""
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
