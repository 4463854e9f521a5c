"""The writing side of the store: a hub's records in one SQLite file.

One thread writes (`RecordStore`); any number of readers see what is committed (`StoreReader`). A commit is on
the disk when `append` or `store_batches` returns, so a power loss takes back no record that a hub has
acknowledged or served.
"""

from __future__ import annotations

import itertools
import logging
import operator
import secrets
import sqlite3
import time
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from argosy.fault import Fault
from argosy.hub.store.compaction import Compactor
from argosy.hub.store.records import (
    EventHeader,
    HubEvent,
    MetricSample,
    RecordBatch,
    RecordOrigin,
    RecordStream,
    SampleRow,
    SeriesSchema,
    StreamPosition,
    decode_header,
    decode_row,
    gap_events,
)
from argosy.hub.store.store_file import (
    DECODE_ERRORS,
    STORE_VERSION,
    StoreDamagedError,
    StoreError,
    StoreFileWatch,
    damage_reason,
    open_error,
    open_store,
)
from argosy.hub.store.tables import add_chunk, add_schema, chunks_of, drop_chunks, schemas_of, transaction

_LAST_COLUMN: Final = {RecordStream.EVENTS: "last_event", RecordStream.SAMPLES: "last_tick"}
_DROPPED_COLUMN: Final = {RecordStream.EVENTS: "gone_event", RecordStream.SAMPLES: "gone_tick"}
FULL_DETAIL_S: Final = 3 * 86400.0
_MAX_DROPPED_CHUNKS: Final = 20  # of an origin at once
_MAX_DROPPED_EVENTS: Final = 20_000

_log = logging.getLogger("argosy.hub")
_encode = msgspec.msgpack.Encoder().encode


class RecordStore:
    """The one writer of a store.

    Methods raise sqlite3.Error when the disk is full or fails; nothing is written then. A store that was not
    closed starts a new epoch, so that numbers lost by a power loss are never reused with other content.

    path: the file, created if missing. machine: the machine whose records `append` adds. full_detail_s: the
    age at which samples are downsampled to one a minute.
    """

    def __init__(self, path: Path, machine: str, full_detail_s: float = FULL_DETAIL_S) -> None:
        self._database = open_store(path)
        self._path = path
        self._compactor = Compactor(self._database, full_detail_s)
        self._origin_ids: dict[RecordOrigin, int] = {}
        self._schema_ids: dict[tuple[str, tuple[str, ...]], int] = {}  # of this machine
        try:
            self._check_version(path)
            self.origin = self._own_origin(machine)
        except sqlite3.OperationalError as error:
            self._database.close()
            raise open_error(path, error) from None
        except DECODE_ERRORS as error:
            self._database.close()
            raise StoreDamagedError(path, damage_reason(error)) from None
        self._file_watch = StoreFileWatch(path)

    def check(self) -> None:
        """Raise StoreDamagedError if the file was replaced or its header is damaged."""
        self._file_watch.check()

    def close(self) -> None:
        """Close the file; if the epoch can be written, the next writer continues it."""
        try:
            with transaction(self._database):
                self._set_setting("epoch", self.origin.epoch)
        except sqlite3.Error as error:
            _log.warning("the store will start a new epoch: %s", error)
        finally:
            self._database.close()

    # -- own records ------------------------------------------------------------------------

    def append(
        self,
        events: Sequence[HubEvent],
        samples: Sequence[MetricSample] = (),
        sources: dict[str, tuple[str, int]] | None = None,
    ) -> StreamPosition:
        """Append records of this machine, and return its new position.

        samples: stored as one row. sources: name to (incarnation, sequence), the new position of each source.
        """
        origin = self._origin_ids[self.origin]
        schema_ids = dict(self._schema_ids)
        with transaction(self._database):
            last_event = self._append_events(origin, events)
            _, last_row = self._last_numbers(origin)
            if samples:
                last_row += 1
                sample_row = _make_row(samples, schema_ids)
                self._add_sample_row(origin, last_row, sample_row, _encode(sample_row))
                self._database.execute("UPDATE origin SET last_tick = ? WHERE id = ?", (last_row, origin))
            self._database.executemany(
                "INSERT INTO source VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET life = excluded.life, number = excluded.number",
                [(name, incarnation, sequence) for name, (incarnation, sequence) in (sources or {}).items()],
            )
        self._schema_ids = schema_ids  # now that they are on the disk
        return StreamPosition(self.origin, last_event, last_row)

    def _append_events(self, origin: int, events: Sequence[HubEvent]) -> int:
        """Add this machine's next events, and return the number of the last one."""
        last, _ = self._last_numbers(origin)
        numbered = enumerate(events, last + 1)
        self._add_events(origin, ((number, event, _encode(event)) for number, event in numbered))
        last += len(events)
        self._database.execute("UPDATE origin SET last_event = ? WHERE id = ?", (last, origin))
        return last

    # -- others' records --------------------------------------------------------------------

    def store_batches(self, batches: Iterable[RecordBatch], at_ms: int | None = None) -> list[RecordBatch]:
        """Store records of other origins in one transaction; return the batches that continued a stream.

        A chunk replaces those of its rows that are here already. Records that the sender had dropped are
        recorded as a `gap` event of this machine in the same transaction, because they are not requested
        again. at_ms: the time of that event, by default now.
        """
        with transaction(self._database):
            stored = [batch for batch in batches if self._store_batch(batch)]
            if gaps := gap_events(stored, int(time.time() * 1000) if at_ms is None else at_ms):
                self._append_events(self._origin_ids[self.origin], gaps)
        return stored

    def _store_batch(self, batch: RecordBatch) -> bool:
        if batch.origin == self.origin:
            return False
        origin = self._origin_id(batch.origin)
        last = self._last_numbers(origin)[batch.stream]
        is_next = batch.first == last + 1 or (batch.chunk is not None and batch.first <= last < batch.last)
        if not is_next:
            return False
        if batch.is_lost:
            self._mark_lost(origin, batch)
        elif batch.chunk is not None:
            add_chunk(self._database, origin, batch.chunk, batch.columns)
        else:
            self._add_records(origin, batch)
        self._database.execute(
            f"UPDATE origin SET {_LAST_COLUMN[batch.stream]} = ? WHERE id = ?", (batch.last, origin)
        )
        return True

    def _mark_lost(self, origin: int, batch: RecordBatch) -> None:
        for schema in batch.schemas:
            add_schema(self._database, origin, schema)
        self._database.execute(
            f"UPDATE origin SET {_DROPPED_COLUMN[batch.stream]} = ? WHERE id = ?", (batch.last, origin)
        )

    def _add_records(self, origin: int, batch: RecordBatch) -> None:
        if len(batch.rows) != batch.last - batch.first + 1:
            raise ValueError(f"a batch of {batch.first} to {batch.last} has {len(batch.rows)} rows")
        numbered = enumerate(batch.rows, batch.first)
        if batch.stream is RecordStream.EVENTS:
            self._add_events(origin, ((number, decode_header(row), row) for number, row in numbered))
        else:
            for number, row in numbered:
                self._add_sample_row(origin, number, decode_row(row), row)

    def compact(self) -> bool:
        """Do one step of compaction; return whether there was anything to do."""
        return self._compactor.step()

    # -- bounds -----------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Return the bytes of the file in use; free pages are reused before the file grows."""
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._database.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    def oldest_ms(self) -> int | None:
        """Return the end of the oldest part that can be dropped: a chunk, or a thousand events."""
        (found,) = self._database.execute(
            "SELECT min(ms) FROM (SELECT min(last_ms) AS ms FROM run "
            "UNION SELECT max(time_ms) FROM (SELECT time_ms FROM event ORDER BY time_ms LIMIT 1000))"
        ).fetchone()
        return None if found is None else int(found) + 1

    def drop_before(self, time_ms: int) -> int:
        """Drop records that end before a time, oldest first; return how many events and chunks were dropped.

        At most 20 chunks and 20,000 events of each origin: call again until it returns 0. The
        numbers of dropped records are kept, and reported to hubs that request them later.
        """
        dropped = 0
        with transaction(self._database):
            for (origin,) in self._database.execute("SELECT id FROM origin").fetchall():
                dropped += self._drop_chunks(origin, time_ms)
                dropped += self._drop_events(origin, time_ms)
        return dropped

    def _drop_chunks(self, origin: int, time_ms: int) -> int:
        chunks = chunks_of(self._database, origin)
        expired = list(
            itertools.takewhile(lambda chunk: chunk.last_ms < time_ms, chunks[:_MAX_DROPPED_CHUNKS])
        )
        if expired:
            drop_chunks(self._database, origin, expired)
            dropped = expired[-1].row_range()[1]
            self._database.execute("UPDATE origin SET gone_tick = ? WHERE id = ?", (dropped, origin))
        return len(expired) or (0 if chunks else self._drop_head_rows(origin, time_ms))

    def _drop_head_rows(self, origin: int, time_ms: int) -> int:
        """Drop the rows of another origin that ended within a segment, if all are older than `time_ms`."""
        found = self._database.execute(
            "SELECT number, row FROM tick WHERE origin = ? ORDER BY number DESC LIMIT 1", (origin,)
        ).fetchone()
        if (
            found is None
            or origin == self._origin_ids[self.origin]
            or decode_row(found[1]).time_ms >= time_ms
        ):
            return 0
        self._database.execute("DELETE FROM tick WHERE origin = ?", (origin,))
        self._database.execute("UPDATE origin SET gone_tick = ? WHERE id = ?", (found[0], origin))
        return 1

    def _drop_events(self, origin: int, time_ms: int) -> int:
        (kept,) = self._database.execute(
            "SELECT min(number) FROM event WHERE origin = ? AND time_ms >= ?", (origin, time_ms)
        ).fetchone()
        first, last = self._database.execute(
            "SELECT min(number), max(number) FROM event WHERE origin = ?", (origin,)
        ).fetchone()
        if first is None:
            return 0
        dropped = min(last if kept is None else kept - 1, first + _MAX_DROPPED_EVENTS - 1)
        if dropped < first:
            return 0
        self._database.execute("DELETE FROM event WHERE origin = ? AND number <= ?", (origin, dropped))
        self._database.execute("UPDATE origin SET gone_event = ? WHERE id = ?", (dropped, origin))
        return int(dropped - first + 1)

    # -- rows -------------------------------------------------------------------------------

    def _add_events(self, origin: int, events: Iterable[tuple[int, HubEvent | EventHeader, bytes]]) -> None:
        self._database.executemany(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
            (
                (origin, number, event.time_ms, event.kind, event.subject, row)
                for number, event, row in events
            ),
        )

    def _add_sample_row(self, origin: int, number: int, sample_row: SampleRow, row: bytes) -> None:
        for schema in sample_row.schemas:
            add_schema(self._database, origin, schema)
        self._database.execute("INSERT INTO tick VALUES (?, ?, ?)", (origin, number, row))

    # -- origins ----------------------------------------------------------------------------

    def _last_numbers(self, origin: int) -> tuple[int, int]:
        found = self._database.execute(
            "SELECT last_event, last_tick FROM origin WHERE id = ?", (origin,)
        ).fetchone()
        if found is None or not all(isinstance(each, int) for each in found):
            raise StoreDamagedError(self._path, f"the last numbers of an origin are {found}")
        last_event, last_row = found
        return last_event, last_row

    def _origin_id(self, origin: RecordOrigin) -> int:
        known = self._origin_ids.get(origin)
        if known is not None:
            return known
        self._database.execute(
            "INSERT OR IGNORE INTO origin (machine, epoch, began_ms) VALUES (?, ?, ?)",
            (origin.machine, origin.epoch, origin.began_ms),
        )
        (known,) = self._database.execute(
            "SELECT id FROM origin WHERE machine = ? AND epoch = ?", (origin.machine, origin.epoch)
        ).fetchone()
        return int(known)

    def _own_origin(self, machine: str) -> RecordOrigin:
        """Continue the closed epoch or start a new one, and mark it as not closed."""
        epoch = self._setting("epoch")
        if epoch and not self._clear_clean_close():
            epoch = None
        with transaction(self._database):
            found = (
                epoch
                and self._database.execute(
                    "SELECT began_ms FROM origin WHERE machine = ? AND epoch = ?", (machine, epoch)
                ).fetchone()
            )
            if found:
                origin = RecordOrigin(machine, str(epoch), found[0])
            else:
                origin = RecordOrigin(machine, secrets.token_hex(8), int(time.time() * 1000))
            known = self._origin_ids[origin] = self._origin_id(origin)
            self._schema_ids = {
                (stored.schema.agent, stored.schema.names): number
                for number, stored in schemas_of(self._database, known).items()
            }
        return origin

    def _clear_clean_close(self) -> bool:
        """Delete the mark of a clean close; return whether the deletion is in the main file.

        The deletion must not be in the log alone: a damaged log would lose it together with the records that
        follow, and their numbers would be reused.
        """
        with transaction(self._database):
            self._database.execute("DELETE FROM fact WHERE name = 'epoch'")
        (is_busy, _, _) = self._database.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        return not is_busy

    def _check_version(self, path: Path) -> None:
        version = self._setting("version")
        if version is None:
            with transaction(self._database):
                self._set_setting("version", STORE_VERSION)
        elif not version.isdigit():
            raise StoreDamagedError(path, f"its version is `{version}`")
        elif version != STORE_VERSION:
            self._database.close()
            raise StoreError(
                Fault(
                    str(path),
                    "store-version",
                    f"the store has version {version}, this argosy reads version {STORE_VERSION}",
                    f"move it away: `mv {path} {path}.{version}`",
                )
            )

    def _setting(self, name: str) -> str | None:
        found = self._database.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def _set_setting(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))


def _make_row(
    samples: Sequence[MetricSample], schema_ids: dict[tuple[str, tuple[str, ...]], int]
) -> SampleRow:
    """Return samples as a row; new schemas are added to `schema_ids`."""
    schemas = []
    listed = []
    for each in samples:
        key = each.agent, each.names
        schema_id = schema_ids.get(key)
        if schema_id is None:
            schema_id = schema_ids[key] = len(schema_ids)
            schemas.append(SeriesSchema(schema_id, each.agent, each.names))
        listed.append((schema_id, each))
    listed.sort(key=operator.itemgetter(0))
    return SampleRow(
        int(time.time() * 1000),
        tuple(schemas),
        array("I", [schema_id for schema_id, _ in listed]).tobytes(),
        array("d", [each.time_ms for _, each in listed]).tobytes(),
        b"".join([each.values for _, each in listed]),
    )
