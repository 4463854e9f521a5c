"""The exchange: each hub pulls what the others have, from its own positions, over the fleet's wire.

A hub asks each other machine's hub for what follows the highest numbers that it has, its own records' and
those of third machines too, and is answered as soon as there is something. What it takes is only ever the
next of its stream, so that a repeated, late or lost answer changes nothing; after any break the question is
the same.
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

from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Batch, Event, Position, Stream
from argosy.wire.errors import WireError
from argosy.wire.peer import Peer

WAIT_S: Final = 0.5  # that a hub holds a question for which it has no answer yet
DEADLINE_S: Final = 2.4  # so that a machine that is dead is told as such within 3 s
MOST_BYTES: Final = 1 << 20
_PART_BYTES: Final = 128 << 10
_FIRST_PAUSE_S: Final = 0.1
_MOST_PAUSE_S: Final = 2.0

_log = logging.getLogger("argosy.hub")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Batch]).decode
_decode_clock = msgspec.msgpack.Decoder(float).decode


class Sight(msgspec.Struct):
    """Whether another machine's hub can be seen. Times are epoch seconds, 0 for never.

    skew_s: how far its clock is ahead of this one's, less the time that an answer takes.
    """

    machine: str
    is_blind: bool = True
    since: float = 0.0
    reason: str = "not asked yet"
    skew_s: float = 0.0
    taken: int = 0


async def answer(keeper: Keeper, positions: bytes, wait_s: float) -> AsyncIterator[bytes]:
    """Yield what a hub answers to one that is so far: its clock (seconds), then batches, in parts.

    An hour of a fleet is several MiB, which a slow link takes seconds for: as long as parts arrive, nobody
    takes this hub for gone.
    """
    known = msgspec.msgpack.decode(positions, type=list[Position])
    batches = await keeper.after(known, MOST_BYTES, min(wait_s, WAIT_S))
    yield _encode(time.time())
    body = _encode(batches)
    for first in range(0, len(body), _PART_BYTES):
        yield body[first : first + _PART_BYTES]


class Puller:
    """Pulls one machine's records until it is cancelled; tells when the machine cannot be seen, and again
    can.
    """

    def __init__(self, keeper: Keeper, peer: Peer, machine: str) -> None:
        self.sight = Sight(machine, since=time.time())
        self._keeper = keeper
        self._peer = peer
        self._pause_s = _FIRST_PAUSE_S

    async def run(self) -> None:
        """Pull for ever."""
        while True:
            try:
                await self._pull()
                self._pause_s = _FIRST_PAUSE_S
            except (WireError, msgspec.DecodeError, ValueError) as error:
                self._see(is_blind=True, reason=str(error))
                await self._rest()
            except sqlite3.Error as error:
                _log.warning("what `%s` says cannot be kept: %s", self.sight.machine, error)
                await self._rest()

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))
        self._pause_s = min(_MOST_PAUSE_S, 2 * self._pause_s)

    async def _pull(self) -> None:
        """Take answers until one is empty or out of date; the next is on its way while one is written."""
        positions = await self._keeper.positions()
        batches = await self._ask(positions)
        while batches:
            positions = _after(positions, batches)
            following = asyncio.create_task(self._ask(positions))
            try:
                taken = await self._keeper.take(batches)
                self.sight.taken += taken
                if taken != len(batches):  # another hub has handed over some of it meanwhile
                    return
                batches = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _ask(self, positions: list[Position]) -> list[Batch]:
        parts: list[bytes] = []
        async for part in self._peer.stream(
            "records",
            first=DEADLINE_S,
            gap=DEADLINE_S,
            returns=bytes,
            positions=_encode(positions),
            wait_s=WAIT_S,
        ):
            if not parts:
                # it tells its clock as it answers, however long it held the question
                self.sight.skew_s = _decode_clock(part) - time.time()
            parts.append(part)
        batches = _decode(b"".join(parts[1:]))
        self._see(is_blind=False, reason="")
        return batches

    def _see(self, *, is_blind: bool, reason: str) -> None:
        sight = self.sight
        sight.reason = reason
        if is_blind == sight.is_blind:
            return
        sight.is_blind, sight.since = is_blind, time.time()
        kind = "blind" if is_blind else "sighted"
        _log.warning("`%s` is %s: %s", sight.machine, kind, reason or "its hub answers")
        event = Event(int(sight.since * 1000), kind, "", {"machine": sight.machine, "reason": reason})
        with contextlib.suppress(FullError):  # whether a machine can be seen is told all the same
            self._keeper.hand_in([event])


def _after(positions: list[Position], batches: list[Batch]) -> list[Position]:
    """Return the positions of a hub that has taken these batches too."""
    at = {position.origin: position for position in positions}
    for batch in batches:
        events, ticks = (at[batch.origin].events, at[batch.origin].ticks) if batch.origin in at else (0, 0)
        is_event = batch.stream is Stream.EVENTS
        at[batch.origin] = Position(
            batch.origin, batch.last if is_event else events, ticks if is_event else batch.last
        )
    return list(at.values())
