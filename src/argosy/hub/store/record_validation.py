"""Validates records before they are replicated: a record that one hub cannot decode, no hub can."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

import msgspec

from argosy.hub.store.block_codec import DamagedBlockError, decode_block
from argosy.hub.store.records import HubEvent, RecordBatch, RecordStream, SampleRow

_DOUBLE_BYTES: Final = 8
_decode_event = msgspec.msgpack.Decoder(HubEvent).decode
_decode_row = msgspec.msgpack.Decoder(SampleRow).decode


class ReceivedDamageError(ValueError):
    """A batch of another hub cannot be decoded."""


def check_records(batch: RecordBatch) -> None:
    """Raise msgspec.DecodeError or DamagedBlockError if a record of a batch cannot be decoded."""
    for row in batch.rows:
        if batch.stream is RecordStream.EVENTS:
            _decode_event(row)
        else:
            _check_row(_decode_row(row))
    for column in batch.columns:
        for block in (column.times, *column.values):
            decode_block(block)


def _check_row(sample_row: SampleRow) -> None:
    count, rest = divmod(len(sample_row.schema_ids), array("I").itemsize)
    if rest or len(sample_row.times) != _DOUBLE_BYTES * count or len(sample_row.values) % _DOUBLE_BYTES:
        raise DamagedBlockError(f"a row of {count} samples has {len(sample_row.times)} bytes of times")


def check_received(batches: Iterable[RecordBatch]) -> None:
    """Raise ReceivedDamageError if a record of another hub cannot be decoded."""
    try:
        for batch in batches:
            check_records(batch)
    except (msgspec.DecodeError, DamagedBlockError, UnicodeDecodeError) as error:
        raise ReceivedDamageError(f"a record that it sent cannot be decoded: {error}") from None
