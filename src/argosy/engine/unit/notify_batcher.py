"""Reads the notify sockets of many ready agents together, a few times a second.

A heartbeat that repeats the last one changes nothing. Waking the supervisor for each would be most of the
cost of an idle fleet; so the sockets of ready agents wait in an epoll set of their own, and whatever has
arrived is read in one loop iteration. Agents that are starting or stopping are read at once.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# The longest delay of a changed health report.
_BATCH_INTERVAL_S = 0.2


class NotifyBatcher:
    """Calls `drain()` of each readable socket, all in one loop iteration, then pauses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._drains: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def add(self, descriptor: int, drain: Callable[[], None]) -> None:
        """Read a socket together with the others from now on."""
        self._drains[descriptor] = drain
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop reading a socket."""
        if self._drains.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._epoll.fileno(), self._drain_ready)

    def _drain_ready(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._timer = self._loop.call_later(_BATCH_INTERVAL_S, self._listen)
        for descriptor, _ in self._epoll.poll(0):
            drain = self._drains.get(descriptor)
            if drain is not None:  # else an earlier message has removed it
                drain()

    def close(self) -> None:
        """Stop reading all sockets."""
        if self._timer is not None:
            self._timer.cancel()
        else:
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
