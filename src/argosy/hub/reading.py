"""Reading: what a store holds, by time and agent for people, and by origin and number for other hubs.

A reading never writes, and sees only what is committed, so any process may look while the hub runs.
"""

from __future__ import annotations

import heapq
import operator
import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from argosy.hub.block import is_ascending, unpack
from argosy.hub.record import (
    Batch,
    Event,
    Origin,
    Position,
    Shape,
    Stream,
    segment_of,
    ticks_of,
)
from argosy.hub.tables import block_id, columns_of, run_with, schema, shapes_of
from argosy.hub.tail import Figure, Tails
from argosy.hub.whole import check_records

Part = Literal["middle", "least", "greatest"]
_PARTS: Final[tuple[Part, ...]] = ("middle", "least", "greatest")
_ROWS: Final = 2000  # of one batch at most

_decode_event = msgspec.msgpack.Decoder(Event).decode
_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Happened(NamedTuple):
    """An event with where it came from."""

    origin: Origin
    number: int
    event: Event


class _Piece(NamedTuple):
    """Samples that follow each other, in the order of their times."""

    times: array[float]
    values: array[float]


class Reading:
    """A read-only look at a store. Raises sqlite3.Error where the file cannot be read.

    is_alone: nobody else reads or writes the file as long as this does, which takes no room on the disk; a
    file that is missing, or has no tables yet, reads as an empty store.
    """

    def __init__(self, path: Path, *, is_alone: bool = False) -> None:
        self._base = _open_alone(path) if is_alone else _open(path, "ro")
        self._base.execute("PRAGMA cache_size = -2048")
        self._tails = Tails(self._base)

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
            shapes = tuple(stored.shape for stored in shapes_of(self._base, key).values())
            yield Batch(origin, stream, first, gone, is_lost=True, shapes=shapes)
            first = gone + 1
        while first <= last:
            run = run_with(self._base, key, segment_of(first)) if stream is Stream.TICKS else None
            if run:
                low, high = run.ticks()
                batch = Batch(
                    origin, stream, low, high, run=run, columns=tuple(columns_of(self._base, key, run))
                )
                check_records(batch)
                yield batch
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
            batch = Batch(origin, stream, first, end, rows)
            check_records(batch)  # what is damaged here is not to go round
            yield batch
            first = end + 1

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
        self,
        agent: str,
        figure: str,
        from_ms: int,
        to_ms: int,
        machine: str | None = None,
        part: Part = "middle",
    ) -> tuple[array[float], array[float]]:
        """Return the times (ms) and values of one figure of an agent, oldest first, both ends included.

        Of what is so old that there is one number for a minute: part "middle" is its mean (of a figure that
        never fell, the last value), "least" and "greatest" are its extremes.
        """
        with self._snapshot():  # nothing is sealed between what is and what is not
            pieces = [
                piece
                for found in self._figures(agent, figure, machine)
                for piece in (
                    *self._sealed(found, from_ms, to_ms, part),
                    *self._unsealed(found, from_ms, to_ms),
                )
            ]
        pieces.sort(key=lambda piece: piece.times[0])
        at, values = array("d"), array("d")
        for piece in pieces:
            if at and piece.times[0] < at[-1]:  # a clock that was put back, or two lives at once
                at, values = _in_order(at + piece.times, values + piece.values)
            else:
                at += piece.times
                values += piece.values
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

    def of_kinds(
        self,
        kinds: Collection[str],
        from_ms: int,
        to_ms: int,
        most: int | None = None,
        subject: str | None = None,
    ) -> list[Happened]:
        """Return the events of some kinds, newest first, at most `most`; of one agent where one is named."""
        rows = [self._of_kind(kind, from_ms, to_ms, most, subject) for kind in dict.fromkeys(kinds)]
        try:
            newest_first = heapq.merge(*rows, key=lambda row: (-row[0], row[1], -row[2]))
            return [
                Happened(Origin(machine, epoch, began), number, _decode_event(body))
                for _, _, number, body, machine, epoch, began in islice(newest_first, most)
            ]
        finally:
            for cursor in rows:
                cursor.close()

    def _of_kind(
        self, kind: str, from_ms: int, to_ms: int, most: int | None, subject: str | None
    ) -> sqlite3.Cursor:
        """Return the rows of one kind, newest first; an index has them, unless they are log lines."""
        by_kind = "" if kind == "log" else "AND kind != 'log' "
        # A plus keeps a condition from choosing the index: that of an agent has its log lines too.
        agent = "subject" if kind in ("log", "state") else "+subject"
        which, arguments = (f"AND {agent} = ? ", [subject]) if subject is not None else ("", [])
        return self._base.execute(
            "SELECT time_ms, event.origin, number, row, machine, epoch, began_ms FROM event "
            f"JOIN origin ON id = event.origin WHERE kind = ? {by_kind}AND time_ms BETWEEN ? AND ? {which}"
            "ORDER BY time_ms DESC, origin, number DESC LIMIT ?",
            [kind, from_ms, to_ms, *arguments, -1 if most is None else most],
        )

    def span_ms(self) -> tuple[int, int]:
        """Return the times of the first and the last event, 0 and 0 without any."""
        first, last = self._base.execute(  # asked for as one, they are looked for through all events
            "SELECT (SELECT min(time_ms) FROM event), (SELECT max(time_ms) FROM event)"
        ).fetchone()
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

    def heard(self) -> dict[str, tuple[str, int]]:
        """Return how far each source has been heard: name to (life, number)."""
        return {name: (life, number) for name, life, number in self._base.execute("SELECT * FROM source")}

    def last_states(self) -> list[Happened]:
        """Return the last `state` event of each agent that each origin tells of, oldest first."""
        return [
            Happened(Origin(machine, epoch, began), number, _decode_event(row))
            for machine, epoch, began, number, row, _ in self._base.execute(
                "SELECT machine, epoch, began_ms, number, row, max(time_ms) FROM event "
                "JOIN origin ON id = event.origin WHERE kind = 'state' AND subject > '' "
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

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """See the store as it is at one moment."""
        self._base.execute("BEGIN")
        try:
            yield
        finally:
            self._base.execute("ROLLBACK")

    def _figures(self, agent: str, figure: str, machine: str | None) -> Iterator[Figure]:
        for origin, number, names, series in self._base.execute(
            "SELECT origin, number, names, series FROM shape JOIN origin ON origin.id = shape.origin "
            "WHERE agent = ? AND (? IS NULL OR machine = ?)",
            (agent, machine, machine),
        ).fetchall():
            listed = _decode_names(names)
            if figure in listed:
                place = listed.index(figure)
                yield Figure(origin, number, len(listed), place, series)

    def _sealed(self, figure: Figure, from_ms: int, to_ms: int, part: Part) -> Iterator[_Piece]:
        for step_ms, first_ms, last_ms, times, values in self._base.execute(
            "SELECT step_ms, first_ms, last_ms, times.body, figure.body FROM run "
            "JOIN block AS times ON times.id = ? | segment JOIN block AS figure ON figure.id = ? | segment "
            "WHERE origin = ? AND last_ms >= ? AND first_ms <= ? ORDER BY segment",
            (
                block_id(figure.series, 0),
                block_id(figure.series + 1 + figure.place, 0),
                figure.origin,
                from_ms,
                to_ms,
            ),
        ):
            at, numbers = unpack(times), unpack(values)
            if step_ms:
                place = len(at) * _PARTS.index(part)
                numbers = numbers[place : place + len(at)]
            if not is_ascending(times):
                at, numbers = _in_order(at, numbers)
            if first_ms < from_ms or last_ms > to_ms:
                at, numbers = _within(at, numbers, from_ms, to_ms)
            if at:
                yield _Piece(at, numbers)

    def _unsealed(self, figure: Figure, from_ms: int, to_ms: int) -> Iterator[_Piece]:
        at, values = _within(*_in_order(*self._tails.samples(figure, from_ms, to_ms)), from_ms, to_ms)
        if at:
            yield _Piece(at, values)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False)


def _open_alone(path: Path) -> sqlite3.Connection:
    """Open a store without the index that connections share, which is a file that needs room."""
    if not path.exists():
        return _empty()
    base = _open(path, "rw")
    try:
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        last_made = base.execute("SELECT name FROM sqlite_master WHERE name = 'source'").fetchone()
        if last_made:
            base.execute("PRAGMA query_only = ON")
            return base
    except sqlite3.Error:
        base.close()
        raise
    base.close()
    return _empty()


def _empty() -> sqlite3.Connection:
    base = sqlite3.connect(":memory:", check_same_thread=False)
    base.executescript(schema())
    return base


def _in_order(at: array[float], values: array[float]) -> tuple[array[float], array[float]]:
    if all(map(operator.le, at, islice(at, 1, None))):
        return at, values
    order = sorted(range(len(at)), key=at.__getitem__)
    return array("d", [at[index] for index in order]), array("d", [values[index] for index in order])


def _within(
    at: array[float], values: array[float], from_ms: int, to_ms: int
) -> tuple[array[float], array[float]]:
    first, last = bisect_left(at, from_ms), bisect_right(at, to_ms)
    return at[first:last], values[first:last]


def _weight(batch: Batch) -> int:
    """Return about how many bytes a batch is."""
    return sum(map(len, batch.rows)) + sum(
        len(column.times) + sum(map(len, column.figures)) for column in batch.columns
    )
