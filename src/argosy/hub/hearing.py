"""Hearing: records as they come in, of whatever machine, told to the standings."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

import msgspec

from argosy.hub.block import unpack
from argosy.hub.reading import Reading
from argosy.hub.record import Batch, Column, Event, Figures, Origin, Shape, Stream, Tick
from argosy.hub.standing import Standings

_decode_tick = msgspec.msgpack.Decoder(Tick).decode
_decode_event = msgspec.msgpack.Decoder(Event).decode


class Hearing:
    """Tells standings what was kept. home: the machine that an agent is declared on, None if unknown."""

    def __init__(self, standings: Standings, reading: Reading, home: Callable[[str], str | None]) -> None:
        self._standings = standings
        self._home = home
        self._shapes: dict[Origin, dict[int, Shape]] = {}
        for origin, shape in reading.shapes():
            self._shapes.setdefault(origin, {})[shape.number] = shape
        for happened in reading.last_states():
            self.hear(happened.origin.machine, [happened.event], ())

    def hear(self, machine: str, events: Sequence[Event], figures: Iterable[Figures]) -> None:
        """Tell events and figures that a machine's hub has kept."""
        for event in events:
            self._standings.hear(self._home(event.subject) or machine, [event])
        for each in figures:
            self._standings.hear(self._home(each.agent) or machine, (), [each])

    def hear_batch(self, batch: Batch) -> None:
        """Tell what another hub handed over."""
        if batch.stream is Stream.EVENTS:
            self.hear(batch.origin.machine, [_decode_event(row) for row in batch.rows], ())
            return
        for row in batch.rows:
            self.hear(batch.origin.machine, (), self._figures(batch.origin, _decode_tick(row)))
        self.hear(batch.origin.machine, (), map(_last_of, batch.columns))
        self._learn(batch.origin, (column.shape for column in batch.columns))

    def _figures(self, origin: Origin, tick: Tick) -> Iterable[Figures]:
        known = self._learn(origin, tick.shapes)
        for frame in tick.frames:
            shape = known[frame.shape]
            yield Figures(shape.agent, shape.names, frame.time_ms, frame.values)

    def _learn(self, origin: Origin, shapes: Iterable[Shape]) -> dict[int, Shape]:
        known = self._shapes.setdefault(origin, {})
        known.update((shape.number, shape) for shape in shapes)
        return known


def _last_of(column: Column) -> Figures:
    values = array("d", [unpack(figure)[-1] for figure in column.figures])
    return Figures(column.shape.agent, column.shape.names, column.last_ms, values.tobytes())
