"""Hears many agents that say the same again and again: those are read together, a few times a second.

A beat changes nothing as long as it repeats the last one. Each by itself would wake the supervisor, which is
most of what an idle fleet costs; so the sockets of agents that are ready wait in an epoll of their own, and
whatever came meanwhile is taken in one turn. Who is to become ready, or to end, is read at once.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# As late as this one hears that the health of an agent is another.
_BATCH_INTERVAL_S = 0.2


class NotifyBatcher:
    """Calls `drain()` of each socket that has something to read, all in one turn, then pauses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._drains: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def add(self, descriptor: int, drain: Callable[[], None]) -> None:
        """Read a socket from now on together with the others."""
        self._drains[descriptor] = drain
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Read it no more."""
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
            if drain is not None:  # else it was removed by what another said
                drain()

    def close(self) -> None:
        """Hear nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        else:
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
