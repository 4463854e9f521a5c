"""Compaction: rows become chunks, chunks are merged, and old chunks are downsampled.

A segment of rows is compacted as soon as it is complete; twelve chunks of one segment each are merged into
one; chunks older than `full_detail_s` are downsampled to one value a minute. All work is done in short steps,
because the write thread does it, and pending records wait for that thread.
"""

from __future__ import annotations

import math
import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

from argosy.hub.store.block_codec import decode_block, encode_block, is_ascending
from argosy.hub.store.records import (
    Chunk,
    ChunkColumn,
    SampleRow,
    SeriesSchema,
    decode_row,
    rows_of_segment,
    segment_of,
)
from argosy.hub.store.tables import (
    add_chunk,
    block_id,
    chunk_with,
    chunks_of,
    columns_of,
    schemas_of,
    transaction,
)

SEGMENTS_PER_CHUNK: Final = 12  # an hour at a row a second
DOWNSAMPLE_STEP_MS: Final = 60_000
_MAX_STEP_S: Final = 0.02  # of work in one step
_CHECK_EVERY_S: Final = 30.0  # for old chunks


class _CompactionJob(NamedTuple):
    """A chunk being built from the chunks `sources`, in several steps."""

    origin: int
    chunk: Chunk
    sources: list[Chunk]
    pending_columns: Iterator[ChunkColumn]
    columns: list[ChunkColumn]


class Compactor:
    """Compacts one store. full_detail_s: the age at which samples are downsampled to one a minute."""

    def __init__(self, database: sqlite3.Connection, full_detail_s: float) -> None:
        self._database = database
        self._full_detail_s = full_detail_s
        self._job: _CompactionJob | None = None
        self._can_merge = True
        self._next_check_s = 0.0

    def step(self) -> bool:
        """Do one step of work; return whether there was any."""
        if self._job is None:
            if self._compact_head():
                self._can_merge = True
                return True
            self._job = self._merge_job() or self._downsample_job()
        return self._job is not None and self._continue(self._job)

    def _continue(self, job: _CompactionJob) -> bool:
        until_s = time.monotonic() + _MAX_STEP_S
        for column in job.pending_columns:
            job.columns.append(column)
            if time.monotonic() > until_s:
                return True
        self._job = None
        first, last = job.chunk.first_segment, job.chunk.first_segment + job.chunk.segment_count - 1
        if (
            chunks_of(self._database, job.origin, first, last) == job.sources
        ):  # else they were dropped meanwhile
            with transaction(self._database):
                add_chunk(self._database, job.origin, job.chunk, job.columns)
        return True

    def _compact_head(self) -> bool:
        """Compact the oldest complete segment of rows."""
        for origin, last in self._database.execute("SELECT id, last_tick FROM origin").fetchall():
            (first,) = self._database.execute(
                "SELECT min(number) FROM tick WHERE origin = ?", (origin,)
            ).fetchone()
            if first is None or last < rows_of_segment(segment_of(first))[1]:
                continue
            segment = segment_of(first)
            rows = self._database.execute(
                "SELECT row FROM tick WHERE origin = ? AND number BETWEEN ? AND ? ORDER BY number",
                (origin, *rows_of_segment(segment)),
            )
            schemas = {number: stored.schema for number, stored in schemas_of(self._database, origin).items()}
            columns, first_ms, last_ms = build_columns((decode_row(row) for (row,) in rows), schemas)
            with transaction(self._database):
                add_chunk(self._database, origin, Chunk(segment, 1, 0, first_ms, last_ms), columns)
            return True
        return False

    def _merge_job(self) -> _CompactionJob | None:
        if not self._can_merge:
            return None
        found = self._database.execute(
            "SELECT origin, segment / ? FROM run WHERE segments = 1 AND step_ms = 0 "
            "GROUP BY 1, 2 HAVING count(*) = ? LIMIT 1",
            (SEGMENTS_PER_CHUNK, SEGMENTS_PER_CHUNK),
        ).fetchone()
        if found is None:
            self._can_merge = False
            return None
        origin, first = found[0], found[1] * SEGMENTS_PER_CHUNK
        chunks = chunks_of(self._database, origin, first, first + SEGMENTS_PER_CHUNK - 1)
        chunk = Chunk(
            first,
            SEGMENTS_PER_CHUNK,
            0,
            min(each.first_ms for each in chunks),
            max(each.last_ms for each in chunks),
        )
        return _CompactionJob(origin, chunk, chunks, self._merged_columns(origin, chunks), [])

    def _merged_columns(self, origin: int, chunks: list[Chunk]) -> Iterator[ChunkColumn]:
        for stored_schema in schemas_of(self._database, origin).values():
            blocks = [
                encode_block(whole, is_final=True)
                for series in stored_schema.all_series()
                if (whole := self._merged_values(series, chunks))
            ]
            if blocks:
                yield ChunkColumn(stored_schema.schema, blocks[0], tuple(blocks[1:]))

    def _merged_values(self, series: int, chunks: list[Chunk]) -> array[float]:
        """Return the values of a series in consecutive chunks."""
        values = array("d")
        for (body,) in self._database.execute(
            "SELECT body FROM block WHERE id BETWEEN ? AND ? ORDER BY id",
            (block_id(series, chunks[0].first_segment), block_id(series, chunks[-1].first_segment)),
        ):
            values += decode_block(body)
        return values

    def _downsample_job(self) -> _CompactionJob | None:
        now_s = time.monotonic()
        if now_s < self._next_check_s or math.isinf(self._full_detail_s):
            return None
        found = self._database.execute(
            "SELECT origin, segment FROM run WHERE step_ms = 0 AND last_ms < ? ORDER BY last_ms LIMIT 1",
            (int((time.time() - self._full_detail_s) * 1000),),
        ).fetchone()
        chunk = chunk_with(self._database, *found) if found else None
        if chunk is None:
            self._next_check_s = now_s + _CHECK_EVERY_S
            return None
        origin = found[0]
        downsampled = Chunk(
            chunk.first_segment, chunk.segment_count, DOWNSAMPLE_STEP_MS, chunk.first_ms, chunk.last_ms
        )
        return _CompactionJob(
            origin,
            downsampled,
            [chunk],
            map(downsample_column, columns_of(self._database, origin, chunk)),
            [],
        )


def build_columns(
    sample_rows: Iterable[SampleRow], schemas: dict[int, SeriesSchema]
) -> tuple[list[ChunkColumn], int, int]:
    """Return the columns of some rows, ordered by schema id, and the times (ms) of the first and last sample.

    Samples within a column are in the order of arrival. Samples with an unknown schema are left out.
    """
    times: dict[int, array[float]] = {}
    values: dict[int, array[float]] = {}
    for sample_row in sample_rows:
        at = memoryview(sample_row.times)
        offset = 0
        for index, schema_id in enumerate(array("I", sample_row.schema_ids)):
            schema = schemas.get(schema_id)
            if schema is None:
                break
            size = 8 * len(schema.names)
            times.setdefault(schema_id, array("d")).frombytes(at[8 * index : 8 * index + 8])
            values.setdefault(schema_id, array("d")).frombytes(sample_row.values[offset : offset + size])
            offset += size
    columns = []
    for schema_id in sorted(times):
        width = len(schemas[schema_id].names)
        value_blocks = tuple(encode_block(values[schema_id][position::width]) for position in range(width))
        columns.append(ChunkColumn(schemas[schema_id], encode_block(times[schema_id]), value_blocks))
    if not times:
        return columns, 0, 0
    return columns, int(min(map(min, times.values()))), int(max(map(max, times.values())))


def downsample_column(column: ChunkColumn) -> ChunkColumn:
    """Return a column with one number for each minute: see `Chunk.step_ms`."""
    times = decode_block(column.times)
    order: Iterable[int] = range(len(times))
    if not is_ascending(column.times):
        order = sorted(order, key=times.__getitem__)
    steps = [list(group) for _, group in groupby(order, lambda index: times[index] // DOWNSAMPLE_STEP_MS)]
    return ChunkColumn(
        column.schema,
        encode_block(array("d", [times[step[-1]] for step in steps]), is_final=True),
        tuple(encode_block(_downsample_values(block, steps), is_final=True) for block in column.values),
    )


def _downsample_values(block: bytes, steps: list[list[int]]) -> array[float]:
    values = decode_block(block)
    has_never_fallen = is_ascending(block)
    parts = [[values[index] for index in step] for step in steps]
    numbers = [[value for value in part if not math.isnan(value)] or [math.nan] for part in parts]
    middles = [part[-1] if has_never_fallen else sum(part) / len(part) for part in numbers]
    return array("d", [*middles, *map(min, numbers), *map(max, numbers)])
