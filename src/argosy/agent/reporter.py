"""Reports an agent's figures to its machine's hub: measured each second, handed over together, each once.

What the hub has not acknowledged waits here, the newest five minutes of it; how many older ones had to go is
told with the next report. Where no hub has been yet nothing is measured: its socket is looked for with each
beat, which costs one system call and wakes nobody.
"""

from __future__ import annotations

import asyncio
import os
import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from argosy.agent.health import Status
from argosy.wire.book import Book, hub_name, socket_path
from argosy.wire.errors import WireError
from argosy.wire.peer import Peer

EVERY_S: Final = 1.0
MOST_WAITING: Final = 300
_DEADLINE_S: Final = 5.0

_encode = msgspec.msgpack.Encoder().encode
_STATUS: Final = {status.value: float(number) for number, status in enumerate(Status)}


class Reporter:
    """One agent's reports. document: what its health says now; life: its incarnation."""

    def __init__(
        self,
        name: str,
        life: str,
        path: str,
        peer: Callable[[], Peer],
        document: Callable[[], dict[str, Any]],
    ) -> None:
        self._name = name
        self._life = life
        self._path = path
        self._peer = peer
        self._document = document
        self._waiting: deque[tuple[str, tuple[str, ...], int, bytes]] = deque()
        self._measured = 0
        self._dropped = 0
        self._was_seen = asyncio.Event()

    def look(self) -> None:
        """See whether there is a hub, as long as there has been none: it is owed nothing."""
        if not self._was_seen.is_set() and os.path.exists(self._path):
            self._was_seen.set()

    async def run(self) -> None:
        """Report until cancelled, from the time on that there is a hub."""
        sending: asyncio.Task[None] | None = None
        await self._was_seen.wait()
        while True:
            await asyncio.sleep(EVERY_S)
            self._measure()
            if os.path.exists(self._path) and (sending is None or sending.done()):
                sending = asyncio.create_task(self._send())

    def _measure(self) -> None:
        document = self._document()
        numbers = {
            name: number for name, value in document.items() if (number := figure_of(name, value)) is not None
        }
        self._measured += 1
        names = tuple(sorted(numbers))
        values = array("d", [numbers[name] for name in names])
        self._waiting.append((self._name, names, int(time.time() * 1000), values.tobytes()))
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1

    async def _send(self) -> None:
        """Hand over what waits, oldest first; what is not acknowledged stays."""
        first = self._measured - len(self._waiting)
        some = list(self._waiting)  # the newest too: a hub judges by what its disk does not take yet
        dropped = self._dropped
        try:
            await self._peer().call(
                "take_figures",
                timeout=_DEADLINE_S,
                agent=self._name,
                life=self._life,
                number=first + len(some),
                figures=_encode(some),
                dropped=dropped,
            )
        except WireError:
            return
        self._dropped -= dropped
        kept = self._measured - (first + len(some))
        while len(self._waiting) > kept:
            self._waiting.popleft()


def figure_of(name: str, value: object) -> float | None:
    """Return what of a health document is a figure, as a double; None for what is none."""
    if name == "status":
        return _STATUS.get(str(value))
    if name in ("pid", "since") or not isinstance(value, int | float):
        return None
    return float(value)


def hub_of(book: Book) -> tuple[str, str] | None:
    """Return the name of this machine's hub and the socket it listens on; None in a fleet without one."""
    for machine in book.machines or ("",):
        name = hub_name(machine)
        if machine in book.hubs and (path := socket_path(book.runtime, name)):
            return name, path
    return None
