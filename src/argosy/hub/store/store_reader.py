"""Reads a store: by time and agent for users, by origin and number for other hubs.

A reader never writes and sees only what is committed, so any process may read while the hub runs.
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

from argosy.hub.store.block_codec import decode_block, is_ascending
from argosy.hub.store.head_blocks import HeadBlocks, SeriesLocator
from argosy.hub.store.legacy_names import decode_event, stored_kinds, upgrade_sources
from argosy.hub.store.records import (
    HubEvent,
    RecordBatch,
    RecordOrigin,
    RecordStream,
    SeriesSchema,
    StreamPosition,
    check_records,
    rows_of_segment,
    segment_of,
)
from argosy.hub.store.tables import block_id, chunk_with, columns_of, create_statements, schemas_of

Aggregate = Literal["middle", "least", "greatest"]
_AGGREGATES: Final[tuple[Aggregate, ...]] = ("middle", "least", "greatest")
_MAX_BATCH_ROWS: Final = 2000
_SELECT_EVENTS: Final = (
    "SELECT machine, epoch, began_ms, number, row, time_ms, event.origin FROM event "
    "JOIN origin ON id = event.origin"
)

_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class StoredEvent(NamedTuple):
    """An event with its origin and number."""

    origin: RecordOrigin
    number: int
    event: HubEvent


def _stored_event(machine: str, epoch: str, began_ms: int, number: int, row: bytes, *_: int) -> StoredEvent:
    return StoredEvent(RecordOrigin(machine, epoch, began_ms), number, decode_event(row))


class _SampleRun(NamedTuple):
    """Consecutive samples in the order of their times."""

    times: array[float]
    values: array[float]


class StoreReader:
    """A read-only connection to a store. Raises sqlite3.Error if the file cannot be read.

    is_exclusive: no other connection uses the file meanwhile, which needs no space on the disk; a file that
    is missing or has no tables yet reads as an empty store.
    """

    def __init__(self, path: Path, *, is_exclusive: bool = False) -> None:
        self._database = _connect_exclusive(path) if is_exclusive else _connect(path, "ro")
        self._database.execute("PRAGMA cache_size = -2048")
        self._head_blocks = HeadBlocks(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # -- for other hubs ---------------------------------------------------------------------

    def positions(self) -> list[StreamPosition]:
        """Return the position of each origin."""
        return [
            StreamPosition(RecordOrigin(machine, epoch, began), last_event, last_row)
            for machine, epoch, began, last_event, last_row in self._database.execute(
                "SELECT machine, epoch, began_ms, last_event, last_tick FROM origin"
            )
        ]

    def records_after(
        self, positions: Sequence[StreamPosition], max_bytes: int = 1 << 20
    ) -> list[RecordBatch]:
        """Return the records after `positions`, oldest first within each stream; of other origins, all.

        About `max_bytes`, but at least one batch if there is one: call again until nothing is returned.
        """
        known = {(p.origin.machine, p.origin.epoch): p for p in positions}
        batches: list[RecordBatch] = []
        left = max_bytes
        rows = self._database.execute(
            "SELECT id, machine, epoch, began_ms, last_event, last_tick, gone_event, gone_tick FROM origin"
        ).fetchall()
        for number, machine, epoch, began, last_event, last_row, dropped_event, dropped_row in rows:
            origin = RecordOrigin(machine, epoch, began)
            at = known.get((machine, epoch), StreamPosition(origin, 0, 0))
            for stream, first, last, dropped in (
                (RecordStream.EVENTS, at.last_event + 1, last_event, dropped_event),
                (RecordStream.SAMPLES, at.last_row + 1, last_row, dropped_row),
            ):
                for batch in self._batches(number, origin, stream, first, last, dropped):
                    batches.append(batch)
                    left -= _batch_bytes(batch)
                    if left <= 0:
                        return batches
        return batches

    def _batches(
        self, key: int, origin: RecordOrigin, stream: RecordStream, first: int, last: int, dropped: int
    ) -> Iterator[RecordBatch]:
        if first <= dropped:
            schemas = tuple(stored.schema for stored in schemas_of(self._database, key).values())
            yield RecordBatch(origin, stream, first, dropped, is_lost=True, schemas=schemas)
            first = dropped + 1
        while first <= last:
            chunk = (
                chunk_with(self._database, key, segment_of(first)) if stream is RecordStream.SAMPLES else None
            )
            if chunk:
                low, high = chunk.row_range()
                batch = RecordBatch(
                    origin,
                    stream,
                    low,
                    high,
                    chunk=chunk,
                    columns=tuple(columns_of(self._database, key, chunk)),
                )
                check_records(batch)
                yield batch
                first = high + 1
                continue
            end = min(last, first + _MAX_BATCH_ROWS - 1)
            if stream is RecordStream.SAMPLES:
                end = min(end, rows_of_segment(segment_of(first))[1])
            table = "event" if stream is RecordStream.EVENTS else "tick"
            rows = tuple(
                row
                for (row,) in self._database.execute(
                    f"SELECT row FROM {table} WHERE origin = ? AND number BETWEEN ? AND ? ORDER BY number",
                    (key, first, end),
                )
            )
            if len(rows) != end - first + 1:
                return  # compacted or dropped meanwhile: the next call finds it
            batch = RecordBatch(origin, stream, first, end, rows)
            check_records(batch)  # do not replicate damaged records
            yield batch
            first = end + 1

    # -- for users --------------------------------------------------------------------------

    def metric_names(self) -> dict[tuple[str, str], set[str]]:
        """Return the names of all metrics by (machine, agent)."""
        found: dict[tuple[str, str], set[str]] = {}
        for machine, agent, names in self._database.execute(
            "SELECT machine, agent, names FROM shape JOIN origin ON origin.id = shape.origin"
        ):
            found.setdefault((machine, agent), set()).update(_decode_names(names))
        return found

    def series(
        self,
        agent: str,
        metric: str,
        from_ms: int,
        to_ms: int,
        machine: str | None = None,
        aggregate: Aggregate = "middle",
    ) -> tuple[array[float], array[float]]:
        """Return the times (ms) and values of one metric of an agent, oldest first, both ends included.

        aggregate: of downsampled values, "middle" is the mean of a minute (of a metric that never fell, the
        last value), "least" and "greatest" are its extremes.
        """
        with self._snapshot():  # so that no compaction happens between the two reads
            runs = [
                piece
                for found in self._locate(agent, metric, machine)
                for piece in (
                    *self._compacted_samples(found, from_ms, to_ms, aggregate),
                    *self._head_samples(found, from_ms, to_ms),
                )
            ]
        runs.sort(key=lambda piece: piece.times[0])
        at, values = array("d"), array("d")
        for run in runs:
            if at and run.times[0] < at[-1]:  # the clock was set back, or two incarnations overlap
                at, values = _sort_by_time(at + run.times, values + run.values)
            else:
                at += run.times
                values += run.values
        return at, values

    def events(
        self, from_ms: int = 0, to_ms: int = 1 << 62, subject: str | None = None, limit: int = 1000
    ) -> list[StoredEvent]:
        """Return at most `limit` events, newest first."""
        which, arguments = ("AND subject = ? ", [subject]) if subject is not None else ("", [])
        return self._select_events(
            f"time_ms BETWEEN ? AND ? {which}ORDER BY time_ms DESC, origin, number DESC LIMIT ?",
            [from_ms, to_ms, *arguments, limit],
        )

    def states_at(self, subjects: Iterable[str], time_ms: int) -> list[StoredEvent]:
        """Return the last `state` event of each agent up to a time."""
        return [
            each
            for subject in subjects
            for each in self._select_events(
                "subject = ? AND time_ms <= ? AND kind = 'state' ORDER BY time_ms DESC, number DESC LIMIT 1",
                (subject, time_ms),
            )
        ]

    def _select_events(self, condition: str, arguments: Sequence[object] = ()) -> list[StoredEvent]:
        return [
            _stored_event(*row)
            for row in self._database.execute(f"{_SELECT_EVENTS} WHERE {condition}", arguments)
        ]

    def events_of_kinds(
        self,
        kinds: Collection[str],
        from_ms: int,
        to_ms: int,
        limit: int | None = None,
        subject: str | None = None,
    ) -> list[StoredEvent]:
        """Return at most `limit` events of some kinds, newest first; `subject` selects an agent."""
        rows = [self._rows_of_kind(kind, from_ms, to_ms, limit, subject) for kind in stored_kinds(kinds)]
        try:
            newest_first = heapq.merge(*rows, key=lambda row: (-row[5], row[6], -row[3]))
            return [_stored_event(*row) for row in islice(newest_first, limit)]
        finally:
            for cursor in rows:
                cursor.close()

    def _rows_of_kind(
        self, kind: str, from_ms: int, to_ms: int, limit: int | None, subject: str | None
    ) -> sqlite3.Cursor:
        """Return the rows of one kind, newest first, by an index, except for log lines."""
        by_kind = "" if kind == "log" else "AND kind != 'log' "
        # The plus excludes the index by subject, which contains the agent's log lines too.
        agent = "subject" if kind in ("log", "state") else "+subject"
        which, arguments = (f"AND {agent} = ? ", [subject]) if subject is not None else ("", [])
        return self._database.execute(
            f"{_SELECT_EVENTS} WHERE kind = ? {by_kind}AND time_ms BETWEEN ? AND ? {which}"
            "ORDER BY time_ms DESC, origin, number DESC LIMIT ?",
            [kind, from_ms, to_ms, *arguments, -1 if limit is None else limit],
        )

    def time_range_ms(self) -> tuple[int, int]:
        """Return the times of the first and the last event, 0 and 0 without events."""
        first, last = self._database.execute(  # one select with both would scan all events
            "SELECT (SELECT min(time_ms) FROM event), (SELECT max(time_ms) FROM event)"
        ).fetchone()
        return int(first or 0), int(last or 0)

    def alerts(self, machine: str) -> list[StoredEvent]:
        """Return all `alert` events of a machine's hubs, oldest first."""
        return self._select_events("kind = 'alert' AND machine = ? ORDER BY began_ms, number", (machine,))

    def source_positions(self) -> dict[str, tuple[str, int]]:
        """Return the position of each source: name to (incarnation, sequence)."""
        rows = self._database.execute("SELECT * FROM source")
        return upgrade_sources({name: (incarnation, sequence) for name, incarnation, sequence in rows})

    def last_states(self) -> list[StoredEvent]:
        """Return the last `state` event of each agent of each origin, oldest first."""
        return [
            _stored_event(*row)
            for row in self._database.execute(
                "SELECT machine, epoch, began_ms, number, row, max(time_ms) FROM event "
                "JOIN origin ON id = event.origin WHERE kind = 'state' AND subject > '' "
                "GROUP BY event.origin, subject ORDER BY 6"
            )
        ]

    def schemas(self) -> list[tuple[RecordOrigin, SeriesSchema]]:
        """Return all schemas, each with its origin."""
        return [
            (RecordOrigin(machine, epoch, began), SeriesSchema(schema_id, agent, _decode_names(names)))
            for machine, epoch, began, schema_id, agent, names in self._database.execute(
                "SELECT machine, epoch, began_ms, number, agent, names FROM shape "
                "JOIN origin ON origin.id = shape.origin"
            )
        ]

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read one consistent snapshot of the store."""
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("ROLLBACK")

    def _locate(self, agent: str, metric: str, machine: str | None) -> Iterator[SeriesLocator]:
        for origin, schema_id, names, series in self._database.execute(
            "SELECT origin, number, names, series FROM shape JOIN origin ON origin.id = shape.origin "
            "WHERE agent = ? AND (? IS NULL OR machine = ?)",
            (agent, machine, machine),
        ).fetchall():
            listed = _decode_names(names)
            if metric in listed:
                index = listed.index(metric)
                yield SeriesLocator(origin, schema_id, len(listed), index, series)

    def _compacted_samples(
        self, locator: SeriesLocator, from_ms: int, to_ms: int, aggregate: Aggregate
    ) -> Iterator[_SampleRun]:
        for step_ms, first_ms, last_ms, times, values in self._database.execute(
            "SELECT step_ms, first_ms, last_ms, times.body, figure.body FROM run "
            "JOIN block AS times ON times.id = ? | segment JOIN block AS figure ON figure.id = ? | segment "
            "WHERE origin = ? AND last_ms >= ? AND first_ms <= ? ORDER BY segment",
            (
                block_id(locator.series, 0),
                block_id(locator.series + 1 + locator.position, 0),
                locator.origin,
                from_ms,
                to_ms,
            ),
        ):
            at, numbers = decode_block(times), decode_block(values)
            if step_ms:
                offset = len(at) * _AGGREGATES.index(aggregate)
                numbers = numbers[offset : offset + len(at)]
            if not is_ascending(times):
                at, numbers = _sort_by_time(at, numbers)
            if first_ms < from_ms or last_ms > to_ms:
                at, numbers = _clip(at, numbers, from_ms, to_ms)
            if at:
                yield _SampleRun(at, numbers)

    def _head_samples(self, locator: SeriesLocator, from_ms: int, to_ms: int) -> Iterator[_SampleRun]:
        at, values = _clip(
            *_sort_by_time(*self._head_blocks.samples(locator, from_ms, to_ms)), from_ms, to_ms
        )
        if at:
            yield _SampleRun(at, values)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False)


def _connect_exclusive(path: Path) -> sqlite3.Connection:
    """Open a store without the shared-memory index, a file that needs space on the disk."""
    if not path.exists():
        return _connect_empty()
    database = _connect(path, "rw")
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        # The table `source` is created last.
        if database.execute("SELECT name FROM sqlite_master WHERE name = 'source'").fetchone():
            database.execute("PRAGMA query_only = ON")
            return database
    except sqlite3.Error:
        database.close()
        raise
    database.close()
    return _connect_empty()


def _connect_empty() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.executescript(create_statements())
    return database


def _sort_by_time(at: array[float], values: array[float]) -> tuple[array[float], array[float]]:
    if all(map(operator.le, at, islice(at, 1, None))):
        return at, values
    order = sorted(range(len(at)), key=at.__getitem__)
    return array("d", [at[index] for index in order]), array("d", [values[index] for index in order])


def _clip(
    at: array[float], values: array[float], from_ms: int, to_ms: int
) -> tuple[array[float], array[float]]:
    first, last = bisect_left(at, from_ms), bisect_right(at, to_ms)
    return at[first:last], values[first:last]


def _batch_bytes(batch: RecordBatch) -> int:
    """Return about how many bytes a batch is."""
    return sum(map(len, batch.rows)) + sum(
        len(column.times) + sum(map(len, column.values)) for column in batch.columns
    )
