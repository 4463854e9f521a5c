"""The tables shared by the writer and the readers of a store: schemas, chunks and blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Final, NamedTuple

import msgspec

from argosy.hub.store.records import Chunk, ChunkColumn, SeriesSchema

_SEGMENT_BITS: Final = 20  # per origin: ten years at a row a second
_MAX_SEGMENT: Final = (1 << _SEGMENT_BITS) - 1

_encode = msgspec.msgpack.Encoder().encode
_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class StoredSchema(NamedTuple):
    """A schema with its series numbers in this store: `series` for its times, then one for each metric."""

    schema: SeriesSchema
    series: int

    def all_series(self) -> range:
        """Return the series of the times and of each metric."""
        return range(self.series, self.series + 1 + len(self.schema.names))


def block_id(series: int, segment: int) -> int:
    """Return the id of the block of a series in the chunk that starts with a segment."""
    return series << _SEGMENT_BITS | segment


def create_statements() -> str:
    """Return the statements that create the missing tables."""
    return resources.files("argosy.hub.store").joinpath("schema.sql").read_text()


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Run the body in a transaction; roll back if it raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite rolls back by itself on a full disk
            database.execute("ROLLBACK")
        raise


def schemas_of(database: sqlite3.Connection, origin: int) -> dict[int, StoredSchema]:
    """Return the schemas of an origin by their id."""
    return {
        number: StoredSchema(SeriesSchema(number, agent, _decode_names(names)), series)
        for number, agent, names, series in database.execute(
            "SELECT number, agent, names, series FROM shape WHERE origin = ? ORDER BY number", (origin,)
        )
    }


def add_schema(database: sqlite3.Connection, origin: int, schema: SeriesSchema) -> StoredSchema:
    """Store a schema unless it is stored already, and return it with its series number."""
    found = database.execute(
        "SELECT series FROM shape WHERE origin = ? AND number = ?", (origin, schema.schema_id)
    ).fetchone()
    if found:
        return StoredSchema(schema, found[0])
    last = database.execute("SELECT series, names FROM shape ORDER BY id DESC LIMIT 1").fetchone()
    series = last[0] + 1 + len(_decode_names(last[1])) if last else 0
    database.execute(
        "INSERT INTO shape (origin, number, agent, names, series) VALUES (?, ?, ?, ?, ?)",
        (origin, schema.schema_id, schema.agent, _encode(schema.names), series),
    )
    return StoredSchema(schema, series)


def chunks_of(
    database: sqlite3.Connection, origin: int, first: int = 0, last: int = _MAX_SEGMENT
) -> list[Chunk]:
    """Return the chunks of an origin that start in the segments `first` to `last`, in order."""
    return [
        Chunk(*row)
        for row in database.execute(
            "SELECT segment, segments, step_ms, first_ms, last_ms FROM run "
            "WHERE origin = ? AND segment BETWEEN ? AND ? ORDER BY segment",
            (origin, first, last),
        )
    ]


def chunk_with(database: sqlite3.Connection, origin: int, segment: int) -> Chunk | None:
    """Return the chunk that contains a segment, None if it is not compacted."""
    found = database.execute(
        "SELECT segment, segments, step_ms, first_ms, last_ms FROM run "
        "WHERE origin = ? AND segment <= ? ORDER BY segment DESC LIMIT 1",
        (origin, segment),
    ).fetchone()
    return Chunk(*found) if found and segment < found[0] + found[1] else None


def columns_of(database: sqlite3.Connection, origin: int, chunk: Chunk) -> Iterator[ChunkColumn]:
    """Yield the columns of a chunk, ordered by schema id."""
    for stored_schema in schemas_of(database, origin).values():
        blocks = []
        for series in stored_schema.all_series():
            found = database.execute(
                "SELECT body FROM block WHERE id = ?", (block_id(series, chunk.first_segment),)
            ).fetchone()
            if found is None:
                break
            blocks.append(found[0])
        else:
            yield ChunkColumn(stored_schema.schema, blocks[0], tuple(blocks[1:]))


def add_chunk(
    database: sqlite3.Connection, origin: int, chunk: Chunk, columns: Iterable[ChunkColumn]
) -> None:
    """Store a chunk in place of its rows and of the chunks it replaces."""
    drop_chunks(
        database,
        origin,
        chunks_of(database, origin, chunk.first_segment, chunk.first_segment + chunk.segment_count - 1),
    )
    database.execute(
        "DELETE FROM tick WHERE origin = ? AND number BETWEEN ? AND ?", (origin, *chunk.row_range())
    )
    for column in columns:
        stored_schema = add_schema(database, origin, column.schema)
        blocks = (column.times, *column.values)
        database.executemany(
            "INSERT INTO block VALUES (?, ?)",
            [
                (block_id(series, chunk.first_segment), block)
                for series, block in zip(stored_schema.all_series(), blocks, strict=True)
            ],
        )
    database.execute(
        "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?)",
        (origin, chunk.first_segment, chunk.segment_count, chunk.step_ms, chunk.first_ms, chunk.last_ms),
    )


def drop_chunks(database: sqlite3.Connection, origin: int, chunks: Iterable[Chunk]) -> None:
    """Delete chunks and their blocks."""
    listed = list(chunks)
    if not listed:
        return
    series = [each for stored in schemas_of(database, origin).values() for each in stored.all_series()]
    database.executemany(
        "DELETE FROM block WHERE id = ?",
        [(block_id(each, chunk.first_segment),) for each in series for chunk in listed],
    )
    database.executemany(
        "DELETE FROM run WHERE origin = ? AND segment = ?",
        [(origin, chunk.first_segment) for chunk in listed],
    )
