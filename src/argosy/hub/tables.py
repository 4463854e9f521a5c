"""The tables of a store, as those who write and those who read them see them: shapes, runs and blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Final, NamedTuple

import msgspec

from argosy.hub.record import Column, Run, Shape

_SEGMENT_BITS: Final = 20  # of an origin: at a tick a second, ten years
_LAST_BLOCK: Final = (1 << _SEGMENT_BITS) - 1

_encode = msgspec.msgpack.Encoder().encode
_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Stored(NamedTuple):
    """A shape with the numbers that its series have here: `series` of its times, then one for each figure."""

    shape: Shape
    series: int

    def all_series(self) -> range:
        """Return the series of its times and of each figure."""
        return range(self.series, self.series + 1 + len(self.shape.names))


def block_id(series: int, segment: int) -> int:
    """Return the id of the block that a series has in the run that begins with a segment."""
    return series << _SEGMENT_BITS | segment


def schema() -> str:
    """Return the statements that make the tables which are missing."""
    return resources.files("argosy.hub").joinpath("schema.sql").read_text()


@contextmanager
def transaction(base: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside, or none of it."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:  # a full disk may have rolled it back already
            base.execute("ROLLBACK")
        raise


def shapes_of(base: sqlite3.Connection, origin: int) -> dict[int, Stored]:
    """Return the shapes of an origin by their number."""
    return {
        number: Stored(Shape(number, agent, _decode_names(names)), series)
        for number, agent, names, series in base.execute(
            "SELECT number, agent, names, series FROM shape WHERE origin = ? ORDER BY number", (origin,)
        )
    }


def add_shape(base: sqlite3.Connection, origin: int, shape: Shape) -> Stored:
    """Return a shape as it is stored, which it is from now on."""
    found = base.execute(
        "SELECT series FROM shape WHERE origin = ? AND number = ?", (origin, shape.number)
    ).fetchone()
    if found:
        return Stored(shape, found[0])
    last = base.execute("SELECT series, names FROM shape ORDER BY id DESC LIMIT 1").fetchone()
    series = last[0] + 1 + len(_decode_names(last[1])) if last else 0
    base.execute(
        "INSERT INTO shape (origin, number, agent, names, series) VALUES (?, ?, ?, ?, ?)",
        (origin, shape.number, shape.agent, _encode(shape.names), series),
    )
    return Stored(shape, series)


def runs_of(base: sqlite3.Connection, origin: int, first: int = 0, last: int = _LAST_BLOCK) -> list[Run]:
    """Return the runs of an origin that begin in the segments from `first` to `last`, in order."""
    return [
        Run(*row)
        for row in base.execute(
            "SELECT segment, segments, step_ms, first_ms, last_ms FROM run "
            "WHERE origin = ? AND segment BETWEEN ? AND ? ORDER BY segment",
            (origin, first, last),
        )
    ]


def run_with(base: sqlite3.Connection, origin: int, segment: int) -> Run | None:
    """Return the run that a segment is in, None where it is not sealed."""
    found = base.execute(
        "SELECT segment, segments, step_ms, first_ms, last_ms FROM run "
        "WHERE origin = ? AND segment <= ? ORDER BY segment DESC LIMIT 1",
        (origin, segment),
    ).fetchone()
    return Run(*found) if found and segment < found[0] + found[1] else None


def columns_of(base: sqlite3.Connection, origin: int, run: Run) -> Iterator[Column]:
    """Yield what a run has, by the number of the shape."""
    for stored in shapes_of(base, origin).values():
        blocks = []
        for series in stored.all_series():
            found = base.execute(
                "SELECT body FROM block WHERE id = ?", (block_id(series, run.segment),)
            ).fetchone()
            if found is None:
                break
            blocks.append(found[0])
        else:
            yield Column(stored.shape, blocks[0], tuple(blocks[1:]))


def add_run(base: sqlite3.Connection, origin: int, run: Run, columns: Iterable[Column]) -> None:
    """Put a run in the place of all that is there of its ticks."""
    drop_runs(base, origin, runs_of(base, origin, run.segment, run.segment + run.segments - 1))
    base.execute("DELETE FROM tick WHERE origin = ? AND number BETWEEN ? AND ?", (origin, *run.ticks()))
    for column in columns:
        stored = add_shape(base, origin, column.shape)
        blocks = (column.times, *column.figures)
        base.executemany(
            "INSERT INTO block VALUES (?, ?)",
            [
                (block_id(series, run.segment), block)
                for series, block in zip(stored.all_series(), blocks, strict=True)
            ],
        )
    base.execute(
        "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?)",
        (origin, run.segment, run.segments, run.step_ms, run.first_ms, run.last_ms),
    )


def drop_runs(base: sqlite3.Connection, origin: int, runs: Iterable[Run]) -> None:
    """Delete runs and their blocks."""
    listed = list(runs)
    if not listed:
        return
    series = [each for stored in shapes_of(base, origin).values() for each in stored.all_series()]
    base.executemany(
        "DELETE FROM block WHERE id = ?",
        [(block_id(each, run.segment),) for each in series for run in listed],
    )
    base.executemany(
        "DELETE FROM run WHERE origin = ? AND segment = ?", [(origin, run.segment) for run in listed]
    )
