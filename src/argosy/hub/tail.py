"""The tail of each origin: its ticks that are not sealed yet, kept in memory between questions.

They are read and decoded once; after that a question reads only those that are new, and nothing at all while
nobody has written.
"""

from __future__ import annotations

import math
import sqlite3
from array import array
from typing import Final, NamedTuple

import msgspec

from argosy.hub.record import Tick
from argosy.hub.tables import shapes_of

MOST_BYTES: Final = 16 << 20  # of ticks that are kept; five times the tail of a fleet of a hundred agents

_BEGINS: Final = """
    SELECT gone_tick, (SELECT min(number) FROM tick WHERE origin = id),
        (SELECT sum(segments) FROM run WHERE origin = id)
    FROM origin WHERE id = ?
"""

_decode_tick = msgspec.msgpack.Decoder(Tick).decode


class Figure(NamedTuple):
    """One figure of one shape: where its blocks are, and its place among the values of a tick."""

    origin: int
    number: int
    width: int
    place: int
    series: int


class _Tail:
    """The ticks of one origin by their number, as the store has them at `version`.

    begins: what changes whenever ticks are sealed or dropped, or shapes come with blocks; through: the
    number of the last tick that was looked at; of none up to it anything was measured outside of
    first_ms and last_ms. is_whole: the ticks are here; else they were forgotten, to be read again.
    """

    def __init__(self) -> None:
        self.version = -1
        self.begins: tuple[int | None, ...] = ()
        self.through = 0
        self.first_ms, self.last_ms = math.inf, -math.inf
        self.is_whole = True
        self.ticks: dict[int, Tick] = {}
        self.weight = 0  # bytes
        self.widths: dict[int, int] = {}

    def forget(self) -> None:
        """Keep no ticks, only when they were measured."""
        self.is_whole, self.ticks, self.weight = False, {}, 0


class Tails:
    """The tails of one store, seen through a connection that never writes."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base
        self._tails: dict[int, _Tail] = {}  # the one that was asked for last is the last

    def samples(self, figure: Figure, from_ms: int, to_ms: int) -> tuple[array[float], array[float]]:
        """Return the times (ms) and values of a figure, in the order of arrival: at least what was measured
        from `from_ms` to `to_ms`. To be called within a transaction.
        """
        at, values = array("d"), array("d")
        tail = self._tails.pop(figure.origin) if figure.origin in self._tails else _Tail()
        self._tails[figure.origin] = tail
        self._renew(tail, figure.origin)
        if tail.last_ms < from_ms or tail.first_ms > to_ms:
            return at, values
        if not tail.is_whole:
            self._load(tail, figure.origin)
        places: dict[bytes, list[tuple[int, int]]] = {}  # ticks that follow each other mostly have the same
        for tick in tail.ticks.values():
            found = places.get(tick.numbers)
            if found is None:
                found = places[tick.numbers] = _places(tick.numbers, figure, tail.widths)
            for index, place in found:
                at.frombytes(tick.times[index : index + 8])
                values.frombytes(tick.values[place : place + 8])
        return at, values

    def _renew(self, tail: _Tail, origin: int) -> None:
        """Take what was written since the tail was looked at, and leave what was sealed or dropped."""
        (version,) = self._base.execute("PRAGMA data_version").fetchone()
        if version == tail.version:
            return
        tail.version = version
        begins = self._base.execute(_BEGINS, (origin,)).fetchone()
        if begins != tail.begins:
            tail.begins = begins
            if tail.ticks:
                numbers = self._base.execute(
                    "SELECT number FROM tick WHERE origin = ? AND number <= ? ORDER BY number",
                    (origin, tail.through),
                )
                tail.ticks = {number: tail.ticks[number] for (number,) in numbers}
                tail.weight = sum(map(_weight, tail.ticks.values()))
            shapes = shapes_of(self._base, origin)
            tail.widths = {number: len(stored.shape.names) for number, stored in shapes.items()}
        self._read(tail, origin, tail.through)

    def _load(self, tail: _Tail, origin: int) -> None:
        tail.is_whole = True
        self._read(tail, origin, 0)

    def _read(self, tail: _Tail, origin: int, after: int) -> None:
        rows = self._base.execute(
            "SELECT number, row FROM tick WHERE origin = ? AND number > ? ORDER BY number", (origin, after)
        )
        new = {number: _decode_tick(row) for number, row in rows}
        if not new:
            return
        for tick in new.values():
            tail.widths.update({shape.number: len(shape.names) for shape in tick.shapes})
        tail.through = max(new)
        times = array("d", b"".join([tick.times for tick in new.values()]))
        if times:
            tail.first_ms, tail.last_ms = min(tail.first_ms, min(times)), max(tail.last_ms, max(times))
        if tail.is_whole:
            tail.ticks |= new
            tail.weight += sum(map(_weight, new.values()))
            self._bound()

    def _bound(self) -> None:
        """Forget the ticks that were not asked for longest, all but those that are asked for now."""
        *others, last = self._tails.values()
        left = MOST_BYTES - last.weight
        for tail in reversed(others):
            left -= tail.weight
            if left < 0:
                tail.forget()


def _places(numbers: bytes, figure: Figure, widths: dict[int, int]) -> list[tuple[int, int]]:
    """Return where in a tick's times and in its values each sample of a figure is."""
    found, place = [], 0
    for index, number in enumerate(array("I", numbers)):
        if number == figure.number:
            found.append((8 * index, 8 * (place + figure.place)))
        place += widths.get(number, 0)
    return found


def _weight(tick: Tick) -> int:
    return len(tick.numbers) + len(tick.times) + len(tick.values) + 300  # and what Python adds
