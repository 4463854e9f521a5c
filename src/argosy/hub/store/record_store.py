"""The store: a hub's records on disk, in one SQLite file, each written whole or not at all.

One thread writes (`Store`); any number of readers look at what is committed (`Reading`). A commit is on the
disk when `write` or `take` returns, so what a hub has acknowledged or served is never taken back by a loss of
power.
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

_log = logging.getLogger("argosy.hub")
_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(SampleRow).decode
_decode_header = msgspec.msgpack.Decoder(EventHeader).decode


class RecordStore:
    """The one writer of a store. Methods raise sqlite3.Error when the disk is full or broken; nothing is then
    kept.

    path: the file, made where it is missing. machine: whose records `write` adds. A store that was not closed
    begins a new epoch: numbers that a loss of power took back are then never given out again with other
    content. detail_s: how old figures may become before a number a minute is enough.
    """

    def __init__(self, path: Path, machine: str, full_detail_s: float = FULL_DETAIL_S) -> None:
        self._database = open_store(path)
        self._path = path
        self._compactor = Compactor(self._database, full_detail_s)
        self._origin_ids: dict[RecordOrigin, int] = {}
        self._schema_ids: dict[tuple[str, tuple[str, ...]], int] = {}  # of own shapes
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
        """Raise DamagedError where the file is no longer the one that was opened, or damaged at its head."""
        self._file_watch.check()

    def close(self) -> None:
        """Close the file; the next writer goes on in this epoch, where the disk takes that word."""
        try:
            with transaction(self._database):
                self._set_setting("epoch", self.origin.epoch)
        except sqlite3.Error as error:
            _log.warning("the next life of this store begins another epoch: %s", error)
        finally:
            self._database.close()

    # -- own records ------------------------------------------------------------------------

    def append(
        self,
        events: Sequence[HubEvent],
        samples: Sequence[MetricSample] = (),
        sources: dict[str, tuple[str, int]] | None = None,
    ) -> StreamPosition:
        """Append what this machine has to say, and return how far its log goes now.

        figures: one tick of them. sources: name to (life, number), how far each source has been heard with
        this.
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
                [(name, life, number) for name, (life, number) in (sources or {}).items()],
            )
        self._schema_ids = schema_ids  # now that they are on the disk
        return StreamPosition(self.origin, last_event, last_row)

    def _append_events(self, origin: int, events: Sequence[HubEvent]) -> int:
        """Add this machine's next events, and return the number of the last one that there is."""
        last, _ = self._last_numbers(origin)
        numbered = enumerate(events, last + 1)
        self._add_events(origin, ((number, event, _encode(event)) for number, event in numbered))
        last += len(events)
        self._database.execute("UPDATE origin SET last_event = ? WHERE id = ?", (last, origin))
        return last

    # -- others' records --------------------------------------------------------------------

    def store_batches(self, batches: Iterable[RecordBatch], at_ms: int | None = None) -> list[RecordBatch]:
        """Keep what other origins said, in one go, and return those batches that were the next of their
        stream.

        A run of which some ticks are here already takes their place. What the sender had no more is an event
        of this machine, with what is taken in its place: otherwise nobody would ask for it again, nor know.
        at_ms: when that is, now if it is left out.
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
            self._add_events(origin, ((number, _decode_header(row), row) for number, row in numbered))
        else:
            for number, row in numbered:
                self._add_sample_row(origin, number, _decode_row(row), row)

    def compact(self) -> bool:
        """Do a piece of what turns ticks into few bytes; return whether there was anything to do."""
        return self._compactor.step()

    # -- bounds -----------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Return how much of the file is in use; what was freed is used again before the file grows."""
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._database.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    def oldest_ms(self) -> int | None:
        """Return before when the oldest part of what can be dropped ends: a segment, or a thousand events."""
        (found,) = self._database.execute(
            "SELECT min(ms) FROM (SELECT min(last_ms) AS ms FROM run "
            "UNION SELECT max(time_ms) FROM (SELECT time_ms FROM event ORDER BY time_ms LIMIT 1000))"
        ).fetchone()
        return None if found is None else int(found) + 1

    def drop_before(self, time_ms: int, limit: int = 20) -> int:
        """Drop what ends before a time, the oldest first; return how many rows and runs went.

        At most `most` runs, and thousands of events, of each origin: call again while something goes. What
        went is remembered by its number, and told to hubs that ask for it later.
        """
        dropped = 0
        with transaction(self._database):
            for (origin,) in self._database.execute("SELECT id FROM origin").fetchall():
                dropped += self._drop_chunks(origin, time_ms, limit)
                dropped += self._drop_events(origin, time_ms, 1000 * limit)
        return dropped

    def _drop_chunks(self, origin: int, time_ms: int, limit: int) -> int:
        chunks = chunks_of(self._database, origin)
        expired = list(itertools.takewhile(lambda run: run.last_ms < time_ms, chunks[:limit]))
        if expired:
            drop_chunks(self._database, origin, expired)
            dropped = expired[-1].row_range()[1]
            self._database.execute("UPDATE origin SET gone_tick = ? WHERE id = ?", (dropped, origin))
        return len(expired) or (0 if chunks else self._drop_head_rows(origin, time_ms))

    def _drop_head_rows(self, origin: int, time_ms: int) -> int:
        """Drop the ticks of a life that ended before its last segment was whole."""
        found = self._database.execute(
            "SELECT number, row FROM tick WHERE origin = ? ORDER BY number DESC LIMIT 1", (origin,)
        ).fetchone()
        if (
            found is None
            or origin == self._origin_ids[self.origin]
            or _decode_row(found[1]).time_ms >= time_ms
        ):
            return 0
        self._database.execute("DELETE FROM tick WHERE origin = ?", (origin,))
        self._database.execute("UPDATE origin SET gone_tick = ? WHERE id = ?", (found[0], origin))
        return 1

    def _drop_events(self, origin: int, time_ms: int, limit: int) -> int:
        (kept,) = self._database.execute(
            "SELECT min(number) FROM event WHERE origin = ? AND time_ms >= ?", (origin, time_ms)
        ).fetchone()
        first, last = self._database.execute(
            "SELECT min(number), max(number) FROM event WHERE origin = ?", (origin,)
        ).fetchone()
        if first is None:
            return 0
        dropped = min(last if kept is None else kept - 1, first + limit - 1)
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
        """Go on in the epoch that was closed, or begin one; in either case it counts as not closed from now
        on.
        """
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
        """Take back that the store was closed; return whether no loss can bring that word back.

        It must not stand in the file with its denial in the log beside it: what tears the log would take both
        the denial and the records that follow, and their numbers would be given out again.
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
                    f"the store is of version {version}, this argosy reads {STORE_VERSION}",
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
    """Return what arrived as a tick; a shape that is new is added to `numbers`."""
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
        array("I", [number for number, _ in listed]).tobytes(),
        array("d", [each.time_ms for _, each in listed]).tobytes(),
        b"".join([each.values for _, each in listed]),
    )
