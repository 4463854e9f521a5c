"""Sealing: ticks become blocks, blocks become longer ones, and old ones keep a number a minute.

A segment of ticks is sealed as soon as it is whole; twelve runs of a segment each are joined into one; what
is older than is asked for is thinned out. All of it is done a little at a time, for it is done by the thread
that writes, and those who wait for the disk wait for it.
"""

from __future__ import annotations

import math
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from argosy.hub.block import is_ascending, pack, unpack
from argosy.hub.record import Column, Run, Shape, Tick, segment_of, ticks_of
from argosy.hub.tables import add_run, block_id, columns_of, run_with, runs_of, shapes_of, transaction

JOINED: Final = 12  # segments, an hour at a tick a second
STEP_MS: Final = 60_000
_PIECE_S: Final = 0.02  # of work, before others have their turn
_LOOK_EVERY_S: Final = 30.0  # for what has become old

_decode_tick = msgspec.msgpack.Decoder(Tick).decode


class _Work(NamedTuple):
    """Something that is done in pieces: a run in the making, from those of `sources`."""

    origin: int
    run: Run
    sources: list[Run]
    making: Iterator[Column]
    columns: list[Column]


class Sealer:
    """Keeps one store in shape. detail_s: how old samples may become before one a minute is enough."""

    def __init__(self, base: sqlite3.Connection, detail_s: float) -> None:
        self._base = base
        self._detail_s = detail_s
        self._work: _Work | None = None
        self._may_join = True
        self._next_look_s = 0.0

    def step(self) -> bool:
        """Do a piece of what is due; return whether anything was."""
        if self._work is None:
            if self._seal():
                self._may_join = True
                return True
            self._work = self._joining() or self._thinning()
        return self._work is not None and self._go_on(self._work)

    def _go_on(self, work: _Work) -> bool:
        until_s = time.monotonic() + _PIECE_S
        for column in work.making:
            work.columns.append(column)
            if time.monotonic() > until_s:
                return True
        self._work = None
        first, last = work.run.segment, work.run.segment + work.run.segments - 1
        if runs_of(self._base, work.origin, first, last) == work.sources:  # else they went meanwhile
            with transaction(self._base):
                add_run(self._base, work.origin, work.run, work.columns)
        return True

    def _seal(self) -> bool:
        """Seal the oldest whole segment of ticks."""
        for origin, last in self._base.execute("SELECT id, last_tick FROM origin").fetchall():
            (first,) = self._base.execute(
                "SELECT min(number) FROM tick WHERE origin = ?", (origin,)
            ).fetchone()
            if first is None or last < ticks_of(segment_of(first))[1]:
                continue
            segment = segment_of(first)
            rows = self._base.execute(
                "SELECT row FROM tick WHERE origin = ? AND number BETWEEN ? AND ? ORDER BY number",
                (origin, *ticks_of(segment)),
            )
            shapes = {number: stored.shape for number, stored in shapes_of(self._base, origin).items()}
            columns, first_ms, last_ms = sealed((_decode_tick(row) for (row,) in rows), shapes)
            with transaction(self._base):
                add_run(self._base, origin, Run(segment, 1, 0, first_ms, last_ms), columns)
            return True
        return False

    def _joining(self) -> _Work | None:
        if not self._may_join:
            return None
        found = self._base.execute(
            "SELECT origin, segment / ? FROM run WHERE segments = 1 AND step_ms = 0 "
            "GROUP BY 1, 2 HAVING count(*) = ? LIMIT 1",
            (JOINED, JOINED),
        ).fetchone()
        if found is None:
            self._may_join = False
            return None
        origin, first = found[0], found[1] * JOINED
        runs = runs_of(self._base, origin, first, first + JOINED - 1)
        run = Run(first, JOINED, 0, min(r.first_ms for r in runs), max(r.last_ms for r in runs))
        return _Work(origin, run, runs, self._joined(origin, runs), [])

    def _joined(self, origin: int, runs: list[Run]) -> Iterator[Column]:
        for stored in shapes_of(self._base, origin).values():
            blocks = [
                pack(whole, is_final=True)
                for series in stored.all_series()
                if (whole := self._whole(series, runs))
            ]
            if blocks:
                yield Column(stored.shape, blocks[0], tuple(blocks[1:]))

    def _whole(self, series: int, runs: list[Run]) -> array[float]:
        """Return what a series has in runs that follow each other."""
        values = array("d")
        for (body,) in self._base.execute(
            "SELECT body FROM block WHERE id BETWEEN ? AND ? ORDER BY id",
            (block_id(series, runs[0].segment), block_id(series, runs[-1].segment)),
        ):
            values += unpack(body)
        return values

    def _thinning(self) -> _Work | None:
        now_s = time.monotonic()
        if now_s < self._next_look_s or math.isinf(self._detail_s):
            return None
        found = self._base.execute(
            "SELECT origin, segment FROM run WHERE step_ms = 0 AND last_ms < ? ORDER BY last_ms LIMIT 1",
            (int((time.time() - self._detail_s) * 1000),),
        ).fetchone()
        run = run_with(self._base, *found) if found else None
        if run is None:
            self._next_look_s = now_s + _LOOK_EVERY_S
            return None
        origin = found[0]
        thin = Run(run.segment, run.segments, STEP_MS, run.first_ms, run.last_ms)
        return _Work(origin, thin, [run], map(thinned, columns_of(self._base, origin, run)), [])


def sealed(ticks: Iterable[Tick], shapes: dict[int, Shape]) -> tuple[list[Column], int, int]:
    """Return the columns of some ticks, by the number of their shape, each in the order of arrival, and when
    the first and the last were measured (ms).

    A shape that nobody knows any more is left out.
    """
    times: dict[int, array[float]] = {}
    words: dict[int, array[float]] = {}
    for tick in ticks:
        at = memoryview(tick.times)
        place = 0
        for index, number in enumerate(array("I", tick.numbers)):
            shape = shapes.get(number)
            if shape is None:
                break
            size = 8 * len(shape.names)
            times.setdefault(number, array("d")).frombytes(at[8 * index : 8 * index + 8])
            words.setdefault(number, array("d")).frombytes(tick.values[place : place + size])
            place += size
    columns = []
    for number in sorted(times):
        width = len(shapes[number].names)
        figures = tuple(pack(words[number][figure::width]) for figure in range(width))
        columns.append(Column(shapes[number], pack(times[number]), figures))
    if not times:
        return columns, 0, 0
    return columns, int(min(map(min, times.values()))), int(max(map(max, times.values())))


def thinned(column: Column) -> Column:
    """Return a column with one number for each minute: see `Run.step_ms`."""
    times = unpack(column.times)
    order: Iterable[int] = range(len(times))
    if not is_ascending(column.times):
        order = sorted(order, key=times.__getitem__)
    steps = [list(group) for _, group in groupby(order, lambda index: times[index] // STEP_MS)]
    return Column(
        column.shape,
        pack(array("d", [times[step[-1]] for step in steps]), is_final=True),
        tuple(pack(_thinned(figure, steps), is_final=True) for figure in column.figures),
    )


def _thinned(figure: bytes, steps: list[list[int]]) -> array[float]:
    values = unpack(figure)
    has_never_fallen = is_ascending(figure)
    middle: Callable[[list[float]], float] = (lambda some: some[-1]) if has_never_fallen else _mean
    parts = [[values[index] for index in step] for step in steps]
    numbers = [[value for value in part if not math.isnan(value)] or [math.nan] for part in parts]
    return array("d", [*map(middle, numbers), *map(min, numbers), *map(max, numbers)])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
