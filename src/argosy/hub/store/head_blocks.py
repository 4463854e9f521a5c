"""The head block of each origin: its sample rows that are not compacted yet, cached in memory.

Rows are read and decoded once. A later query reads only new rows, and none if nothing was written.
"""

from __future__ import annotations

import math
import sqlite3
from array import array
from typing import Final, NamedTuple

from argosy.hub.store.records import SampleRow, decode_row
from argosy.hub.store.tables import schemas_of

MAX_CACHED_BYTES: Final = 16 << 20  # five times the head block of a fleet of a hundred agents

_STATE_QUERY: Final = """
    SELECT gone_tick, (SELECT min(number) FROM tick WHERE origin = id),
        (SELECT sum(segments) FROM run WHERE origin = id)
    FROM origin WHERE id = ?
"""


class SeriesLocator(NamedTuple):
    """One metric of one schema: the series of its blocks and its position among the values of a sample."""

    origin: int
    schema_id: int
    width: int
    position: int
    series: int


class _HeadBlock:
    """The rows of one origin by their number, as of the store's `version`.

    store_state: changes whenever rows are compacted or dropped, or schemas arrive with blocks. last_row: the
    number of the last row seen; all samples up to it are within first_ms and last_ms. is_loaded: `rows` is
    filled; else it was evicted and is read again when needed.
    """

    def __init__(self) -> None:
        self.version = -1
        self.store_state: tuple[int | None, ...] = ()
        self.last_row = 0
        self.first_ms, self.last_ms = math.inf, -math.inf
        self.is_loaded = True
        self.rows: dict[int, SampleRow] = {}
        self.size_bytes = 0
        self.widths: dict[int, int] = {}

    def evict(self) -> None:
        """Drop the rows and keep only their time range."""
        self.is_loaded, self.rows, self.size_bytes = False, {}, 0


class HeadBlocks:
    """The head blocks of one store, read through a read-only connection."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._head_blocks: dict[int, _HeadBlock] = {}  # least recently used first

    def samples(self, locator: SeriesLocator, from_ms: int, to_ms: int) -> tuple[array[float], array[float]]:
        """Return the times (ms) and values of a metric in the order of arrival.

        They include at least the samples from `from_ms` to `to_ms`. Call within a transaction.
        """
        at, values = array("d"), array("d")
        head_block = (
            self._head_blocks.pop(locator.origin) if locator.origin in self._head_blocks else _HeadBlock()
        )
        self._head_blocks[locator.origin] = head_block
        self._refresh(head_block, locator.origin)
        if head_block.last_ms < from_ms or head_block.first_ms > to_ms:
            return at, values
        if not head_block.is_loaded:
            head_block.is_loaded = True
            self._read(head_block, locator.origin, 0)
        offsets: dict[bytes, list[tuple[int, int]]] = {}  # consecutive rows mostly have the same
        for sample_row in head_block.rows.values():
            found = offsets.get(sample_row.schema_ids)
            if found is None:
                found = offsets[sample_row.schema_ids] = _sample_offsets(
                    sample_row.schema_ids, locator, head_block.widths
                )
            for index, offset in found:
                at.frombytes(sample_row.times[index : index + 8])
                values.frombytes(sample_row.values[offset : offset + 8])
        return at, values

    def _refresh(self, head_block: _HeadBlock, origin: int) -> None:
        """Add the rows written since the last call, and drop those compacted or deleted."""
        (version,) = self._database.execute("PRAGMA data_version").fetchone()
        if version == head_block.version:
            return
        head_block.version = version
        store_state = self._database.execute(_STATE_QUERY, (origin,)).fetchone()
        if store_state != head_block.store_state:
            head_block.store_state = store_state
            if head_block.rows:
                numbers = self._database.execute(
                    "SELECT number FROM tick WHERE origin = ? AND number <= ? ORDER BY number",
                    (origin, head_block.last_row),
                )
                head_block.rows = {number: head_block.rows[number] for (number,) in numbers}
                head_block.size_bytes = sum(map(_row_bytes, head_block.rows.values()))
            schemas = schemas_of(self._database, origin)
            head_block.widths = {number: len(stored.schema.names) for number, stored in schemas.items()}
        self._read(head_block, origin, head_block.last_row)

    def _read(self, head_block: _HeadBlock, origin: int, after: int) -> None:
        rows = self._database.execute(
            "SELECT number, row FROM tick WHERE origin = ? AND number > ? ORDER BY number", (origin, after)
        )
        new = {number: decode_row(row) for number, row in rows}
        if not new:
            return
        for sample_row in new.values():
            head_block.widths.update({schema.schema_id: len(schema.names) for schema in sample_row.schemas})
        head_block.last_row = max(new)
        times = array("d", b"".join([row.times for row in new.values()]))
        if times:
            head_block.first_ms, head_block.last_ms = (
                min(head_block.first_ms, min(times)),
                max(head_block.last_ms, max(times)),
            )
        if head_block.is_loaded:
            head_block.rows |= new
            head_block.size_bytes += sum(map(_row_bytes, new.values()))
            self._evict_oldest()

    def _evict_oldest(self) -> None:
        """Evict the least recently used head blocks, except the current one."""
        *others, last = self._head_blocks.values()
        left = MAX_CACHED_BYTES - last.size_bytes
        for head_block in reversed(others):
            left -= head_block.size_bytes
            if left < 0:
                head_block.evict()


def _sample_offsets(
    schema_ids: bytes, locator: SeriesLocator, widths: dict[int, int]
) -> list[tuple[int, int]]:
    """Return the byte offsets of each sample of a metric in a row's times and values."""
    found, offset = [], 0
    for index, schema_id in enumerate(array("I", schema_ids)):
        if schema_id == locator.schema_id:
            found.append((8 * index, 8 * (offset + locator.position)))
        offset += widths.get(schema_id, 0)
    return found


def _row_bytes(sample_row: SampleRow) -> int:
    size = len(sample_row.schema_ids) + len(sample_row.times) + len(sample_row.values)
    return size + 300  # the overhead of the Python objects
