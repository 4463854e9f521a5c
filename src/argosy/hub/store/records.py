"""The records of a hub: events, rows of samples, and their origin.

An *origin* is one epoch of one machine's hub, named by the machine and a random id. It numbers its events and
its sample rows from 1, separately; numbers and times are kept when records are replicated.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from argosy.hub.store.block_codec import DamagedBlockError, decode_block

SEGMENT_ROWS: Final = 300  # rows 1..300 of an origin are its segment 0, in every store


class RecordStream(enum.IntEnum):
    """The two logs of an origin."""

    EVENTS = 0
    SAMPLES = 1


class RecordOrigin(msgspec.Struct, frozen=True, array_like=True):
    """One epoch of one machine's hub. began_ms: epoch milliseconds by its clock."""

    machine: str
    epoch: str
    began_ms: int


class HubEvent(msgspec.Struct, frozen=True):
    """An event. time_ms: epoch milliseconds by its origin's clock. subject: an agent, or empty."""

    time_ms: int
    kind: str
    subject: str = ""
    body: dict[str, Any] = {}


class EventHeader(msgspec.Struct, frozen=True):
    """The indexed fields of an event, decoded without its body."""

    time_ms: int
    kind: str
    subject: str = ""


class SeriesSchema(msgspec.Struct, frozen=True, array_like=True):
    """The names of the metrics that an agent reports together; its origin numbers them by `schema_id`."""

    schema_id: int
    agent: str
    names: tuple[str, ...]


class SampleRow(msgspec.Struct, frozen=True, array_like=True):
    """The samples received since the row before, laid out so that one agent's samples can be read alone.

    schemas: those used for the first time. schema_ids: one for each sample, unsigned, four bytes, ascending.
    times: epoch milliseconds of each sample, doubles. values: for each sample as many doubles as its schema
    has names. All little endian.
    """

    time_ms: int
    schemas: tuple[SeriesSchema, ...]
    schema_ids: bytes
    times: bytes
    values: bytes


class MetricSample(msgspec.Struct, frozen=True, array_like=True):
    """The metrics of an agent at one time (ms). values: a double, little endian, for each name."""

    agent: str
    names: tuple[str, ...]
    time_ms: int
    values: bytes


class ChunkColumn(msgspec.Struct, frozen=True, array_like=True):
    """The samples of one schema in a chunk: a block of times (ms) and one for each metric (see `Chunk`)."""

    schema: SeriesSchema
    times: bytes
    values: tuple[bytes, ...]


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One or more segments of an origin's sample rows, compacted into blocks.

    segment_count: the number of segments, from `first_segment` on. step_ms: 0 if every sample is kept; else a
    block holds three numbers for each step: first all means (of a metric that never fell, the last values),
    then all minima, then all maxima.
    """

    first_segment: int
    segment_count: int
    step_ms: int
    first_ms: int
    last_ms: int

    def row_range(self) -> tuple[int, int]:
        """Return the numbers of the first and the last row in the chunk."""
        last_segment = self.first_segment + self.segment_count - 1
        return rows_of_segment(self.first_segment)[0], rows_of_segment(last_segment)[1]


class RecordBatch(msgspec.Struct, frozen=True, array_like=True):
    """A part of one stream of one origin, as replicated between hubs.

    It has all records from `first` to `last`: as `rows` (encoded, in order) or, if compacted, a whole `chunk`
    as `columns`. With `is_lost` the sender has dropped them already; `schemas` are then those that later rows
    may use.
    """

    origin: RecordOrigin
    stream: RecordStream
    first: int
    last: int
    rows: tuple[bytes, ...] = ()
    chunk: Chunk | None = None
    columns: tuple[ChunkColumn, ...] = ()
    is_lost: bool = False
    schemas: tuple[SeriesSchema, ...] = ()


class StreamPosition(msgspec.Struct, frozen=True, array_like=True):
    """The highest number that a hub has of each stream of an origin."""

    origin: RecordOrigin
    last_event: int
    last_row: int


decode_event_as_written = msgspec.msgpack.Decoder(HubEvent).decode
decode_header = msgspec.msgpack.Decoder(EventHeader).decode
decode_row = msgspec.msgpack.Decoder(SampleRow).decode


def segment_of(number: int) -> int:
    """Return the segment of row `number`."""
    return (number - 1) // SEGMENT_ROWS


def rows_of_segment(segment: int) -> tuple[int, int]:
    """Return the numbers of the first and the last row of a segment."""
    return segment * SEGMENT_ROWS + 1, (segment + 1) * SEGMENT_ROWS


def gap_events(batches: Iterable[RecordBatch], at_ms: int) -> list[HubEvent]:
    """Return the `gap` events for records that their sender had dropped."""
    return [
        HubEvent(
            at_ms,
            "gap",
            body={
                "machine": batch.origin.machine,
                "epoch": batch.origin.epoch,
                "stream": batch.stream.name.lower(),
                "first": batch.first,
                "last": batch.last,
            },
        )
        for batch in batches
        if batch.is_lost
    ]


class ReceivedDamageError(ValueError):
    """A batch of another hub cannot be decoded."""


def check_records(batch: RecordBatch) -> None:
    """Raise msgspec.DecodeError or DamagedBlockError if a record of a batch cannot be decoded."""
    for row in batch.rows:
        if batch.stream is RecordStream.EVENTS:
            decode_event_as_written(row)
        else:
            _check_row(decode_row(row))
    for column in batch.columns:
        for block in (column.times, *column.values):
            decode_block(block)


def _check_row(sample_row: SampleRow) -> None:
    count, rest = divmod(len(sample_row.schema_ids), array("I").itemsize)
    if rest or len(sample_row.times) != 8 * count or len(sample_row.values) % 8:  # doubles
        raise DamagedBlockError(f"a row of {count} samples has {len(sample_row.times)} bytes of times")


def check_received(batches: Iterable[RecordBatch]) -> None:
    """Raise ReceivedDamageError if a record of another hub cannot be decoded."""
    try:
        for batch in batches:
            check_records(batch)
    except (msgspec.DecodeError, DamagedBlockError, UnicodeDecodeError) as error:
        raise ReceivedDamageError(f"a record that it sent cannot be decoded: {error}") from None
