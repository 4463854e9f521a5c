"""What a hub keeps: events, ticks of figures, and where each came from.

An *origin* is one life of one machine's hub, named by the machine and a random epoch. It numbers its events
and its ticks from 1, each on their own; the numbers and the times stay with the records wherever they go.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final

import msgspec

SEGMENT_ROWS: Final = 300  # ticks 1..300 of an origin are its segment 0, whoever keeps them


class RecordStream(enum.IntEnum):
    """The two logs of an origin."""

    EVENTS = 0
    SAMPLES = 1


class RecordOrigin(msgspec.Struct, frozen=True, array_like=True):
    """One life of one machine's hub. began_ms: epoch milliseconds by its clock."""

    machine: str
    epoch: str
    began_ms: int


class HubEvent(msgspec.Struct, frozen=True):
    """Something that happened. time_ms: epoch milliseconds by its origin's clock; subject: an agent, or
    empty.
    """

    time_ms: int
    kind: str
    subject: str = ""
    body: dict[str, Any] = {}


class EventHeader(msgspec.Struct, frozen=True):
    """What an event is found by; of its encoded form the rest is skipped."""

    time_ms: int
    kind: str
    subject: str = ""


class SeriesSchema(msgspec.Struct, frozen=True, array_like=True):
    """The names of the figures that an agent reports together; `number` is its origin's word for it."""

    schema_id: int
    agent: str
    names: tuple[str, ...]


class SampleRow(msgspec.Struct, frozen=True, array_like=True):
    """What arrived since the tick before, so laid out that one agent's figures are found without the others'.

    numbers: of the shapes that were reported, unsigned and four bytes each, ascending, a shape as often as it
    was reported; times: epoch milliseconds of each, doubles; values: of each, as many doubles as its shape
    has names. All little endian. shapes: those that are used for the first time.
    """

    time_ms: int
    schemas: tuple[SeriesSchema, ...]
    schema_ids: bytes
    times: bytes
    values: bytes


class MetricSample(msgspec.Struct, frozen=True, array_like=True):
    """What an agent reports of itself at one time (ms): a double, little endian, for each name."""

    agent: str
    names: tuple[str, ...]
    time_ms: int
    values: bytes


class ChunkColumn(msgspec.Struct, frozen=True, array_like=True):
    """What a run has of one shape: a block of times (ms) and a block for each figure (see `Run`)."""

    schema: SeriesSchema
    times: bytes
    values: tuple[bytes, ...]


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One or more segments of an origin's ticks, sealed into blocks: `segments` of them from `segment` on.

    step_ms: 0 where every sample is kept; else there is one for each step, and a block holds three numbers
    for each: first all means (of a figure that never fell, all last values), then all least, then all
    greatest.
    """

    first_segment: int
    segment_count: int
    step_ms: int
    first_ms: int
    last_ms: int

    def row_range(self) -> tuple[int, int]:
        """Return the first and the last tick in it."""
        return rows_of_segment(self.first_segment)[0], rows_of_segment(
            self.first_segment + self.segment_count - 1
        )[1]


class RecordBatch(msgspec.Struct, frozen=True, array_like=True):
    """A part of one stream of one origin, as hubs hand it to each other.

    Records `first` to `last`, all of them: as `rows` (encoded, in order), or, of ticks that are sealed, a
    whole `run` as `columns`. With `is_lost` the sender has them no more: its bound took them before this hub
    came for them; `shapes` are then those that later ticks may use.
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


def segment_of(number: int) -> int:
    """Return the segment that tick `number` belongs to."""
    return (number - 1) // SEGMENT_ROWS


def rows_of_segment(segment: int) -> tuple[int, int]:
    """Return the first and the last tick of a segment."""
    return segment * SEGMENT_ROWS + 1, (segment + 1) * SEGMENT_ROWS


def gap_events(batches: Iterable[RecordBatch], at_ms: int) -> list[HubEvent]:
    """Return the events for records that their sender had no more when a hub came for them."""
    return [
        HubEvent(at_ms, "gap", "", {**_origin_fields(batch), "first": batch.first, "last": batch.last})
        for batch in batches
        if batch.is_lost
    ]


def _origin_fields(batch: RecordBatch) -> dict[str, Any]:
    origin = batch.origin
    return {"machine": origin.machine, "epoch": origin.epoch, "stream": batch.stream.name.lower()}
