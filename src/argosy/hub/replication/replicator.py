"""Replication: each hub pulls the records of the other hubs, starting at its own positions.

A hub asks every other machine's hub for the records after the highest number it has of each stream, including
streams of third machines; the reply comes as soon as there are any. Only the next record of a stream is
accepted, so a repeated, late or lost reply changes nothing, and a reconnect sends the same request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from argosy.hub.store.records import HubEvent, RecordBatch, RecordStream, StreamPosition
from argosy.hub.store.store_writer import StoreFullError, StoreWriter
from argosy.wire.client.peer import Peer
from argosy.wire.errors import WireError

LONG_POLL_S: Final = 0.5  # how long a hub holds a request without new records
RESPONSE_TIMEOUT_S: Final = 2.4  # so that a dead machine is reported within 3 s
MAX_BYTES: Final = 1 << 20
_PART_BYTES: Final = 128 << 10
_FIRST_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 2.0

_log = logging.getLogger("argosy.hub")
_encode = msgspec.msgpack.Encoder().encode
_decode_batches = msgspec.msgpack.Decoder(list[RecordBatch]).decode
_decode_clock = msgspec.msgpack.Decoder(float).decode


class PeerHubStatus(msgspec.Struct):
    """Whether another machine's hub can be reached. Times are epoch seconds, 0 for never.

    skew_s: how far its clock is ahead of this one's, less the time that a reply takes.
    """

    machine: str
    is_unreachable: bool = True
    since: float = 0.0
    reason: str = "not contacted yet"
    skew_s: float = 0.0
    replicated_count: int = 0


async def serve_batches(writer: StoreWriter, positions: bytes, wait_s: float) -> AsyncIterator[bytes]:
    """Yield the reply to a hub at `positions`: this hub's clock (epoch seconds), then batches in parts.

    An hour of a fleet is several MiB, which takes seconds on a slow link: as long as parts arrive, the peer
    does not time out.
    """
    known = msgspec.msgpack.decode(positions, type=list[StreamPosition])
    batches = await writer.records_after(known, MAX_BYTES, min(wait_s, LONG_POLL_S))
    yield _encode(time.time())
    body = _encode(batches)
    for first in range(0, len(body), _PART_BYTES):
        yield body[first : first + _PART_BYTES]


class Replicator:
    """Pulls one machine's records, and records when its hub becomes unreachable and reachable."""

    def __init__(self, writer: StoreWriter, peer: Peer, machine: str) -> None:
        self.status = PeerHubStatus(machine, since=time.time())
        self._writer = writer
        self._peer = peer
        self._backoff_s = _FIRST_BACKOFF_S

    async def run(self) -> None:
        """Pull until cancelled."""
        while True:
            try:
                await self._pull()
                self._backoff_s = _FIRST_BACKOFF_S
            except (WireError, msgspec.DecodeError, ValueError) as error:
                self._set_reachability(is_unreachable=True, reason=str(error))
                await self._back_off()
            except sqlite3.Error as error:
                _log.warning("records of `%s` cannot be stored: %s", self.status.machine, error)
                await self._back_off()

    async def _back_off(self) -> None:
        await asyncio.sleep(self._backoff_s * random.uniform(0.5, 1.0))
        self._backoff_s = min(_MAX_BACKOFF_S, 2 * self._backoff_s)

    async def _pull(self) -> None:
        """Pull until a reply is empty or outdated; the next is fetched while one is written."""
        positions = await self._writer.positions()
        batches = await self._fetch(positions)
        while batches:
            positions = _advance(positions, batches)
            following = asyncio.create_task(self._fetch(positions))
            try:
                stored = await self._writer.store_batches(batches)
                self.status.replicated_count += stored
                if stored != len(batches):  # another hub delivered some of it meanwhile
                    return
                batches = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _fetch(self, positions: list[StreamPosition]) -> list[RecordBatch]:
        parts: list[bytes] = []
        async for part in self._peer.stream(
            "pull_records",
            first=RESPONSE_TIMEOUT_S,
            gap=RESPONSE_TIMEOUT_S,
            returns=bytes,
            positions=_encode(positions),
            wait_s=LONG_POLL_S,
        ):
            if not parts:
                # the clock is read when the reply starts, however long the request was held
                self.status.skew_s = _decode_clock(part) - time.time()
            parts.append(part)
        batches = _decode_batches(b"".join(parts[1:]))
        self._set_reachability(is_unreachable=False, reason="")
        return batches

    def _set_reachability(self, *, is_unreachable: bool, reason: str) -> None:
        status = self.status
        status.reason = reason
        if is_unreachable == status.is_unreachable:
            return
        status.is_unreachable, status.since = is_unreachable, time.time()
        kind = "hub-unreachable" if is_unreachable else "hub-reachable"
        _log.warning(
            "the hub of `%s` is %s: %s",
            status.machine,
            "unreachable" if is_unreachable else "reachable",
            reason or "it answers",
        )
        event = HubEvent(int(status.since * 1000), kind, "", {"machine": status.machine, "reason": reason})
        with contextlib.suppress(StoreFullError):  # the status is reported anyway
            self._writer.submit([event])


def _advance(positions: list[StreamPosition], batches: list[RecordBatch]) -> list[StreamPosition]:
    """Return the positions after these batches."""
    at = {position.origin: position for position in positions}
    for batch in batches:
        last_event, last_row = (
            (at[batch.origin].last_event, at[batch.origin].last_row) if batch.origin in at else (0, 0)
        )
        is_event = batch.stream is RecordStream.EVENTS
        at[batch.origin] = StreamPosition(
            batch.origin, batch.last if is_event else last_event, last_row if is_event else batch.last
        )
    return list(at.values())
