"""Hearing: records as they come in, of whatever machine, told to the standings."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from argosy.hub.block import unpack
from argosy.hub.reading import Reading
from argosy.hub.record import Batch, Column, Event, EventHead, Figures, Origin, Shape, Stream, Tick
from argosy.hub.standing import Standings

_decode_tick = msgspec.msgpack.Decoder(Tick).decode
_decode_head = msgspec.msgpack.Decoder(EventHead).decode
_decode_event = msgspec.msgpack.Decoder(Event).decode


class Hearing:
    """Tells standings what is said. home: the machine that an agent is declared on, None if unknown.

    on_action: is told each action that another machine's hub handed over.
    """

    on_action: Callable[[str, Event], object] = staticmethod(lambda *_: None)

    def __init__(self, standings: Standings, reading: Reading, home: Callable[[str], str | None]) -> None:
        self._standings = standings
        self._home = home
        self._shapes: dict[Origin, dict[int, Shape]] = {}
        for origin, shape in reading.shapes():
            self._shapes.setdefault(origin, {})[shape.number] = shape
        for happened in reading.last_states():
            self.hear(happened.origin.machine, [happened.event], ())

    def hear(self, machine: str, events: Sequence[Event], figures: Iterable[Figures]) -> None:
        """Tell events and figures of a machine's hub."""
        for event in events:
            self._standings.hear(self._home(event.subject) or machine, [event])
        for each in figures:
            self._standings.hear(self._home(each.agent) or machine, (), [each])

    def hear_batch(self, batch: Batch) -> None:
        """Tell what another hub handed over."""
        if batch.stream is Stream.EVENTS:
            for row in batch.rows:
                kind = _decode_head(row).kind
                if kind in Standings.KINDS:
                    self.hear(batch.origin.machine, [_decode_event(row)], ())
                elif kind == "action":
                    self.on_action(batch.origin.machine, _decode_event(row))
            return
        self._learn(batch.origin, batch.shapes)
        for row in batch.rows:
            self.hear(batch.origin.machine, (), self._figures(batch.origin, _decode_tick(row)))
        self._learn(batch.origin, (column.shape for column in batch.columns))
        if batch.run and not batch.run.step_ms:
            self.hear(batch.origin.machine, (), map(_last_of, batch.columns))

    def _figures(self, origin: Origin, tick: Tick) -> Iterator[Figures]:
        known = self._learn(origin, tick.shapes)
        place = 0
        for number, time_ms in zip(array("I", tick.numbers), array("d", tick.times), strict=True):
            shape = known.get(number)
            if shape is None:
                return  # nobody knows any more what these are, nor where the next begin
            end = place + 8 * len(shape.names)
            yield Figures(shape.agent, shape.names, int(time_ms), tick.values[place:end])
            place = end

    def _learn(self, origin: Origin, shapes: Iterable[Shape]) -> dict[int, Shape]:
        known = self._shapes.setdefault(origin, {})
        known.update((shape.number, shape) for shape in shapes)
        return known


def _last_of(column: Column) -> Figures:
    values = array("d", [unpack(figure)[-1] for figure in column.figures])
    return Figures(column.shape.agent, column.shape.names, int(unpack(column.times)[-1]), values.tobytes())
