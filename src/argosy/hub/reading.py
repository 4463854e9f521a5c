"""Reading: what a store holds, by time and agent for people, and by origin and number for other hubs.

A reading never writes, and sees only what is committed, so any process may look while the hub runs.
"""

from __future__ import annotations

import itertools
import sqlite3
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from argosy.hub.block import unpack
from argosy.hub.record import (
    Batch,
    Column,
    Event,
    Origin,
    Position,
    Shape,
    Stream,
    Tick,
    segment_of,
    ticks_of,
)
from argosy.hub.store import RUN_SEGMENTS

_ROWS: Final = 2000  # of one batch at most

_decode_tick = msgspec.msgpack.Decoder(Tick).decode
_decode_event = msgspec.msgpack.Decoder(Event).decode
_decode_column = msgspec.msgpack.Decoder(Column).decode
_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Happened(NamedTuple):
    """An event with where it came from."""

    origin: Origin
    number: int
    event: Event


class _Shape(NamedTuple):
    id: int
    origin: int
    number: int
    figure: int


class Reading:
    """A read-only look at a store. Raises sqlite3.Error where the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self._base.execute("PRAGMA cache_size = -2048")

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    # -- for other hubs ---------------------------------------------------------------------

    def positions(self) -> list[Position]:
        """Return how far each origin is known here."""
        return [
            Position(Origin(machine, epoch, began), events, ticks)
            for machine, epoch, began, events, ticks in self._base.execute(
                "SELECT machine, epoch, began_ms, last_event, last_tick FROM origin"
            )
        ]

    def after(self, positions: Sequence[Position], most_bytes: int = 1 << 20) -> list[Batch]:
        """Return what follows `positions`, oldest first within each stream; what is not named there, from 1.

        About `most_bytes`, and at least one batch where there is one: ask again until nothing comes.
        """
        known = {(p.origin.machine, p.origin.epoch): p for p in positions}
        batches: list[Batch] = []
        left = most_bytes
        rows = self._base.execute(
            "SELECT id, machine, epoch, began_ms, last_event, last_tick, gone_event, gone_tick FROM origin"
        ).fetchall()
        for number, machine, epoch, began, last_event, last_tick, gone_event, gone_tick in rows:
            origin = Origin(machine, epoch, began)
            at = known.get((machine, epoch), Position(origin, 0, 0))
            for stream, first, last, gone in (
                (Stream.EVENTS, at.events + 1, last_event, gone_event),
                (Stream.TICKS, at.ticks + 1, last_tick, gone_tick),
            ):
                for batch in self._batches(number, origin, stream, first, last, gone):
                    batches.append(batch)
                    left -= _weight(batch)
                    if left <= 0:
                        return batches
        return batches

    def _batches(
        self, key: int, origin: Origin, stream: Stream, first: int, last: int, gone: int
    ) -> Iterator[Batch]:
        if first <= gone:
            yield Batch(origin, stream, first, gone, is_lost=True)
            first = gone + 1
        while first <= last:
            if stream is Stream.TICKS and (columns := self._segment(key, segment_of(first))):
                high = ticks_of(segment_of(first))[1]
                yield Batch(origin, stream, first, high, columns=columns)
                first = high + 1
                continue
            end = min(last, first + _ROWS - 1)
            if stream is Stream.TICKS:
                end = min(end, ticks_of(segment_of(first))[1])
            table = "event" if stream is Stream.EVENTS else "tick"
            rows = tuple(
                row
                for (row,) in self._base.execute(
                    f"SELECT row FROM {table} WHERE origin = ? AND number BETWEEN ? AND ? ORDER BY number",
                    (key, first, end),
                )
            )
            if len(rows) != end - first + 1:
                return  # sealed or dropped since it was looked up: the next call finds it there
            yield Batch(origin, stream, first, end, rows)
            first = end + 1

    def _segment(self, key: int, segment: int) -> tuple[Column, ...]:
        """Return the columns of a sealed segment, none where it is not."""
        if not self._base.execute(
            "SELECT 1 FROM segment WHERE origin = ? AND segment = ?", (key, segment)
        ).fetchone():
            return ()
        return tuple(
            _decode_column(body)
            for (body,) in self._base.execute(
                "SELECT run.body FROM shape JOIN run ON run.id = shape.id * ? + ? WHERE shape.origin = ? "
                "ORDER BY shape.number",
                (RUN_SEGMENTS, segment, key),
            )
        )

    # -- for people -------------------------------------------------------------------------

    def agents(self) -> dict[tuple[str, str], set[str]]:
        """Return the figures that are known: (machine, agent) to their names."""
        found: dict[tuple[str, str], set[str]] = {}
        for machine, agent, names in self._base.execute(
            "SELECT machine, agent, names FROM shape JOIN origin ON origin.id = shape.origin"
        ):
            found.setdefault((machine, agent), set()).update(_decode_names(names))
        return found

    def series(
        self, agent: str, figure: str, from_ms: int, to_ms: int, machine: str | None = None
    ) -> tuple[array[float], array[float]]:
        """Return the times (ms) and values of one figure of an agent, oldest first, both ends included."""
        at, values = array("d"), array("d")
        for shape in self._shapes(agent, figure, machine):
            for times, numbers in (*self._sealed(shape, from_ms, to_ms), *self._unsealed(shape)):
                if times and from_ms <= min(times) and max(times) <= to_ms:
                    at += times
                    values += numbers
                    continue
                within = [n for n, time_ms in enumerate(times) if from_ms <= time_ms <= to_ms]
                at.extend(times[n] for n in within)
                values.extend(numbers[n] for n in within)
        if any(after < before for before, after in itertools.pairwise(at)):
            order = sorted(range(len(at)), key=at.__getitem__)
            at, values = array("d", [at[i] for i in order]), array("d", [values[i] for i in order])
        return at, values

    def events(
        self, from_ms: int = 0, to_ms: int = 1 << 62, subject: str | None = None, most: int = 1000
    ) -> list[Happened]:
        """Return what happened, newest first, at most `most`."""
        which, arguments = ("AND subject = ? ", [subject]) if subject is not None else ("", [])
        return [
            Happened(Origin(machine, epoch, began), number, _decode_event(row))
            for machine, epoch, began, number, row in self._base.execute(
                "SELECT machine, epoch, began_ms, number, row FROM event JOIN origin ON id = event.origin "
                f"WHERE time_ms BETWEEN ? AND ? {which}ORDER BY time_ms DESC, origin, number DESC LIMIT ?",
                [from_ms, to_ms, *arguments, most],
            )
        ]

    def states_at(self, subjects: Iterable[str], time_ms: int) -> list[Happened]:
        """Return the last `state` event of each agent up to a time."""
        found = []
        for subject in subjects:
            row = self._base.execute(
                "SELECT machine, epoch, began_ms, number, row FROM event JOIN origin ON id = event.origin "
                "WHERE subject = ? AND time_ms <= ? AND kind = 'state' "
                "ORDER BY time_ms DESC, number DESC LIMIT 1",
                (subject, time_ms),
            ).fetchone()
            if row:
                machine, epoch, began, number, body = row
                found.append(Happened(Origin(machine, epoch, began), number, _decode_event(body)))
        return found

    def of_kinds(self, kinds: Collection[str], from_ms: int, to_ms: int, most: int) -> list[Happened]:
        """Return the events of some kinds, newest first, at most `most`."""
        marks = ", ".join("?" * len(kinds))
        return [
            Happened(Origin(machine, epoch, began), number, _decode_event(row))
            for machine, epoch, began, number, row in self._base.execute(
                "SELECT machine, epoch, began_ms, number, row FROM event JOIN origin ON id = event.origin "
                f"WHERE time_ms BETWEEN ? AND ? AND kind IN ({marks}) "
                "ORDER BY time_ms DESC, origin, number DESC LIMIT ?",
                (from_ms, to_ms, *kinds, most),
            )
        ]

    def span_ms(self) -> tuple[int, int]:
        """Return the times of the first and the last event, 0 and 0 without any."""
        first, last = self._base.execute("SELECT min(time_ms), max(time_ms) FROM event").fetchone()
        return int(first or 0), int(last or 0)

    def alerts(self, machine: str) -> list[Happened]:
        """Return all alerts that a machine's hubs have raised and cleared, oldest first."""
        return [
            Happened(Origin(machine, epoch, began), number, _decode_event(row))
            for epoch, began, number, row in self._base.execute(
                "SELECT epoch, began_ms, number, row FROM event JOIN origin ON id = event.origin "
                "WHERE kind = 'alert' AND machine = ? ORDER BY began_ms, number",
                (machine,),
            )
        ]

    def last_states(self) -> list[Happened]:
        """Return the last `state` event of each agent that each origin tells of, oldest first."""
        return [
            Happened(Origin(machine, epoch, began), number, _decode_event(row))
            for machine, epoch, began, number, row, _ in self._base.execute(
                "SELECT machine, epoch, began_ms, number, row, max(time_ms) FROM event "
                "JOIN origin ON id = event.origin WHERE kind = 'state' AND subject != '' "
                "GROUP BY event.origin, subject ORDER BY 6"
            )
        ]

    def shapes(self) -> list[tuple[Origin, Shape]]:
        """Return all shapes that are known, each with its origin."""
        return [
            (Origin(machine, epoch, began), Shape(number, agent, _decode_names(names)))
            for machine, epoch, began, number, agent, names in self._base.execute(
                "SELECT machine, epoch, began_ms, number, agent, names FROM shape "
                "JOIN origin ON origin.id = shape.origin"
            )
        ]

    def _shapes(self, agent: str, figure: str, machine: str | None) -> Iterator[_Shape]:
        for key, origin, number, names in self._base.execute(
            "SELECT shape.id, origin, number, names FROM shape JOIN origin ON origin.id = shape.origin "
            "WHERE agent = ? AND (? IS NULL OR machine = ?) ORDER BY began_ms, number",
            (agent, machine, machine),
        ).fetchall():
            listed = _decode_names(names)
            if figure in listed:
                yield _Shape(key, origin, number, listed.index(figure))

    def _sealed(self, shape: _Shape, from_ms: int, to_ms: int) -> Iterator[tuple[array[float], array[float]]]:
        for (body,) in self._base.execute(
            "SELECT run.body FROM segment JOIN run ON run.id = ? + segment.segment "
            "WHERE segment.origin = ? AND last_ms >= ? AND first_ms <= ? ORDER BY segment.segment",
            (shape.id * RUN_SEGMENTS, shape.origin, from_ms, to_ms),
        ):
            column = _decode_column(body)
            yield unpack(column.times), unpack(column.figures[shape.figure])

    def _unsealed(self, shape: _Shape) -> Iterator[tuple[array[float], array[float]]]:
        at, values = array("d"), array("d")
        for (row,) in self._base.execute(
            "SELECT row FROM tick WHERE origin = ? ORDER BY number", (shape.origin,)
        ):
            for frame in _decode_tick(row).frames:
                if frame.shape == shape.number:
                    at.append(frame.time_ms)
                    values.append(frame.numbers()[shape.figure])
        yield at, values


def _weight(batch: Batch) -> int:
    """Return about how many bytes a batch is."""
    return sum(map(len, batch.rows)) + sum(
        len(column.times) + sum(map(len, column.figures)) for column in batch.columns
    )
