"""Reports an agent's metrics to its machine's hub: sampled each second, sent together, each sample once.

Samples that the hub has not acknowledged wait here, for at most five minutes; the number of older ones
that were dropped is sent with the next report. Nothing is sampled until there has been a hub: its socket is
looked for with each heartbeat, which costs one system call and wakes nobody.
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
from argosy.wire.address_book import AddressBook, hub_name, socket_path
from argosy.wire.client.peer import Peer
from argosy.wire.errors import UnknownMethod, WireError

INTERVAL_S: Final = 1.0
MAX_PENDING: Final = 300
_SEND_TIMEOUT_S: Final = 5.0

_encode = msgspec.msgpack.Encoder().encode
_STATUS_VALUES: Final = {status.value: float(number) for number, status in enumerate(Status)}


class MetricsReporter:
    """One agent's reports. get_document: returns its health document."""

    def __init__(
        self,
        name: str,
        incarnation: str,
        path: str,
        get_hub: Callable[[], Peer],
        get_document: Callable[[], dict[str, Any]],
    ) -> None:
        self._name = name
        self._incarnation = incarnation
        self._path = path
        self._get_hub = get_hub
        self._get_document = get_document
        self._pending: deque[tuple[str, tuple[str, ...], int, bytes]] = deque()
        self._measured = 0
        self._dropped = 0
        self._has_seen_hub = asyncio.Event()

    def check_for_hub(self) -> None:
        """Check whether there is a hub; samples are kept from then on."""
        if not self._has_seen_hub.is_set() and os.path.exists(self._path):
            self._has_seen_hub.set()

    async def run(self) -> None:
        """Report until cancelled, beginning when there is a hub."""
        sending: asyncio.Task[None] | None = None
        await self._has_seen_hub.wait()
        while True:
            await asyncio.sleep(INTERVAL_S)
            self._measure()
            if os.path.exists(self._path) and (sending is None or sending.done()):
                sending = asyncio.create_task(self._send())

    def _measure(self) -> None:
        document = self._get_document()
        numbers = {
            name: number
            for name, value in document.items()
            if (number := metric_value(name, value)) is not None
        }
        self._measured += 1
        names = tuple(sorted(numbers))
        values = array("d", [numbers[name] for name in names])
        self._pending.append((self._name, names, int(time.time() * 1000), values.tobytes()))
        if len(self._pending) > MAX_PENDING:
            self._pending.popleft()
            self._dropped += 1

    async def _send(self) -> None:
        """Send pending samples, oldest first; those not acknowledged stay."""
        first = self._measured - len(self._pending)
        samples = list(self._pending)  # the newest too, for a hub whose disk accepts none of them yet
        dropped = self._dropped
        sequence = first + len(samples)
        try:
            await self._submit(sequence, _encode(samples), dropped)
        except WireError:
            return
        self._dropped -= dropped
        kept = self._measured - sequence
        while len(self._pending) > kept:
            self._pending.popleft()

    async def _submit(self, sequence: int, samples: bytes, dropped: int) -> None:
        call, agent, incarnation = self._get_hub().call, self._name, self._incarnation
        try:
            await call(
                "submit_samples",
                timeout=_SEND_TIMEOUT_S,
                agent=agent,
                incarnation=incarnation,
                sequence=sequence,
                samples=samples,
                dropped=dropped,
            )
        except UnknownMethod:  # a hub of an earlier version
            await call(
                "take_figures",
                timeout=_SEND_TIMEOUT_S,
                agent=agent,
                life=incarnation,
                number=sequence,
                figures=samples,
                dropped=dropped,
            )


def metric_value(name: str, value: object) -> float | None:
    """Return a value of a health document as a metric; None for one that is not a metric."""
    if name == "status":
        return _STATUS_VALUES.get(str(value))
    if name in ("pid", "since") or not isinstance(value, int | float):
        return None
    return float(value)


def local_hub(book: AddressBook) -> tuple[str, str] | None:
    """Return the name of this machine's hub and its socket; None in a fleet without one."""
    for machine in book.machines or ("",):
        name = hub_name(machine)
        if machine in book.hubs and (path := socket_path(book.runtime, name)):
            return name, path
    return None
