"""What a hub keeps: events, ticks of figures, and where each came from.

An *origin* is one life of one machine's hub, named by the machine and a random epoch. It numbers its events
and its ticks from 1, each on their own; the numbers and the times stay with the records wherever they go.
"""

from __future__ import annotations

import enum
from array import array
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


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """The names of the figures that an agent reports together; `number` is its origin's word for it."""

    number: int
    agent: str
    names: tuple[str, ...]


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """An agent's figures at one time: doubles, little endian, in the order of its shape's names."""

    shape: int
    time_ms: int
    values: bytes

    def numbers(self) -> array[float]:
        """Return the values."""
        return array("d", self.values)


class Tick(msgspec.Struct, frozen=True, array_like=True):
    """What arrived since the tick before. shapes: those that its frames use for the first time."""

    time_ms: int
    shapes: tuple[Shape, ...]
    frames: tuple[Frame, ...]


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """What an agent reports of itself at one time (ms): a double, little endian, for each name."""

    agent: str
    names: tuple[str, ...]
    time_ms: int
    values: bytes


class Column(msgspec.Struct, frozen=True, array_like=True):
    """A sealed run of one shape: a block of times (ms) and a block for each figure."""

    shape: Shape
    first_ms: int
    last_ms: int
    times: bytes
    figures: tuple[bytes, ...]


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """A run of one stream of one origin, as hubs hand it to each other.

    Records `first` to `last`, all of them: as `rows` (encoded, in order), or, of a whole segment of ticks, as
    `columns`. With `is_lost` the sender has them no more: its bound took them before this hub came for them.
    """

    origin: Origin
    stream: Stream
    first: int
    last: int
    rows: tuple[bytes, ...] = ()
    columns: tuple[Column, ...] = ()
    is_lost: bool = False


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
