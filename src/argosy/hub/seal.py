"""Sealing: the ticks of a segment become one run of samples for each figure of each agent."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from argosy.hub.block import pack
from argosy.hub.record import Column, Shape, Tick


def sealed(ticks: Iterable[Tick], shapes: dict[int, Shape]) -> list[Column]:
    """Return the columns of some ticks, by the number of their shape; each in the order of arrival."""
    times: dict[int, array[float]] = {}
    words: dict[int, array[float]] = {}
    for tick in ticks:
        for frame in tick.frames:
            times.setdefault(frame.shape, array("d")).append(frame.time_ms)
            words.setdefault(frame.shape, array("d")).frombytes(frame.values)
    columns = []
    for number in sorted(times):
        shape, at, values = shapes[number], times[number], words[number]
        width = len(shape.names)
        columns.append(
            Column(
                shape=shape,
                first_ms=int(min(at)),
                last_ms=int(max(at)),
                times=pack(at),
                figures=tuple(pack(values[figure::width]) for figure in range(width)),
            )
        )
    return columns
