"""What a hub keeps: events, ticks of figures, and where each came from.

An *origin* is one life of one machine's hub, named by the machine and a random epoch. It numbers its events
and its ticks from 1, each on their own; the numbers and the times stay with the records wherever they go.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final

import msgspec

SEGMENT_TICKS: Final = 300  # ticks 1..300 of an origin are its segment 0, whoever keeps them


class Stream(enum.IntEnum):
    """The two logs of an origin."""

    EVENTS = 0
    TICKS = 1


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """One life of one machine's hub. began_ms: epoch milliseconds by its clock."""

    machine: str
    epoch: str
    began_ms: int


class Event(msgspec.Struct, frozen=True):
    """Something that happened. time_ms: epoch milliseconds by its origin's clock; subject: an agent, or
    empty.
    """

    time_ms: int
    kind: str
    subject: str = ""
    body: dict[str, Any] = {}


class EventHead(msgspec.Struct, frozen=True):
    """What an event is found by; of its encoded form the rest is skipped."""

    time_ms: int
    kind: str
    subject: str = ""


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """The names of the figures that an agent reports together; `number` is its origin's word for it."""

    number: int
    agent: str
    names: tuple[str, ...]


class Tick(msgspec.Struct, frozen=True, array_like=True):
    """What arrived since the tick before, so laid out that one agent's figures are found without the others'.

    numbers: of the shapes that were reported, unsigned and four bytes each, ascending, a shape as often as it
    was reported; times: epoch milliseconds of each, doubles; values: of each, as many doubles as its shape
    has names. All little endian. shapes: those that are used for the first time.
    """

    time_ms: int
    shapes: tuple[Shape, ...]
    numbers: bytes
    times: bytes
    values: bytes


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """What an agent reports of itself at one time (ms): a double, little endian, for each name."""

    agent: str
    names: tuple[str, ...]
    time_ms: int
    values: bytes


class Column(msgspec.Struct, frozen=True, array_like=True):
    """What a run has of one shape: a block of times (ms) and a block for each figure (see `Run`)."""

    shape: Shape
    times: bytes
    figures: tuple[bytes, ...]


class Run(msgspec.Struct, frozen=True, array_like=True):
    """One or more segments of an origin's ticks, sealed into blocks: `segments` of them from `segment` on.

    step_ms: 0 where every sample is kept; else there is one for each step, and a block holds three numbers
    for each: first all means (of a figure that never fell, all last values), then all least, then all
    greatest.
    """

    segment: int
    segments: int
    step_ms: int
    first_ms: int
    last_ms: int

    def ticks(self) -> tuple[int, int]:
        """Return the first and the last tick in it."""
        return ticks_of(self.segment)[0], ticks_of(self.segment + self.segments - 1)[1]


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """A part of one stream of one origin, as hubs hand it to each other.

    Records `first` to `last`, all of them: as `rows` (encoded, in order), or, of ticks that are sealed, a
    whole `run` as `columns`. With `is_lost` the sender has them no more: its bound took them before this hub
    came for them; `shapes` are then those that later ticks may use.
    """

    origin: Origin
    stream: Stream
    first: int
    last: int
    rows: tuple[bytes, ...] = ()
    run: Run | None = None
    columns: tuple[Column, ...] = ()
    is_lost: bool = False
    shapes: tuple[Shape, ...] = ()


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The highest number that a hub has of each stream of an origin."""

    origin: Origin
    events: int
    ticks: int


def segment_of(number: int) -> int:
    """Return the segment that tick `number` belongs to."""
    return (number - 1) // SEGMENT_TICKS


def ticks_of(segment: int) -> tuple[int, int]:
    """Return the first and the last tick of a segment."""
    return segment * SEGMENT_TICKS + 1, (segment + 1) * SEGMENT_TICKS


def gaps_of(batches: Iterable[Batch], at_ms: int) -> list[Event]:
    """Return the events for records that their sender had no more when a hub came for them."""
    return [
        Event(at_ms, "gap", "", {**_whose(batch), "first": batch.first, "last": batch.last})
        for batch in batches
        if batch.is_lost
    ]


def _whose(batch: Batch) -> dict[str, Any]:
    origin = batch.origin
    return {"machine": origin.machine, "epoch": origin.epoch, "stream": batch.stream.name.lower()}
