"""Whether records are whole, before they go from hub to hub: what one cannot read, none can."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

import msgspec

from argosy.hub.block import DamagedBlockError, unpack
from argosy.hub.record import Batch, Event, Stream, Tick

_WORD: Final = 8
_decode_event = msgspec.msgpack.Decoder(Event).decode
_decode_tick = msgspec.msgpack.Decoder(Tick).decode


class ForeignDamageError(ValueError):
    """What another hub handed over cannot be read."""


def check_records(batch: Batch) -> None:
    """Raise msgspec.DecodeError or DamagedBlockError where a record of a batch cannot be read."""
    for row in batch.rows:
        if batch.stream is Stream.EVENTS:
            _decode_event(row)
        else:
            _check_tick(_decode_tick(row))
    for column in batch.columns:
        for block in (column.times, *column.figures):
            unpack(block)


def _check_tick(tick: Tick) -> None:
    count, rest = divmod(len(tick.numbers), array("I").itemsize)
    if rest or len(tick.times) != _WORD * count or len(tick.values) % _WORD:
        raise DamagedBlockError(f"a tick of {count} shapes has {len(tick.times)} bytes of times")


def check_foreign(batches: Iterable[Batch]) -> None:
    """Raise ForeignDamageError where what another hub handed over cannot be read."""
    try:
        for batch in batches:
            check_records(batch)
    except (msgspec.DecodeError, DamagedBlockError, UnicodeDecodeError) as error:
        raise ForeignDamageError(f"a record that it hands over cannot be read: {error}") from None
