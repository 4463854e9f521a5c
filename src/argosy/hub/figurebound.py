"""How many figures one agent may have: names, and sets of names, each of which a hub keeps for long.

An agent that makes names of what it sees, as of a user's number, would fill the memory and the disk of every
hub, and `/metrics` with it. So an agent has so many names at a time; what it tells by others is dropped,
and told by an event. One that tells ever other sets of its names has them kept one by one.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from typing import Final

from argosy.hub.record import Event, Figures

MOST_NAMES: Final = 1000
MOST_SETS: Final = 64
_HELD_S: Final = 3600.0  # a name that was not heard for so long gives its place to another
_TOLD_EVERY_S: Final = 60.0


class _Agent:
    """What is known of one agent. names, sets: when each was heard last, monotonic; a name of a set that is
    heard again may be told as heard earlier than it was.
    """

    def __init__(self) -> None:
        self.names: dict[str, float] = {}
        self.sets: dict[tuple[str, ...], float] = {}
        self.next_sweep_s = 0.0
        self.dropped = 0
        self.next_told_s = 0.0


class FigureBound:
    """The bound for all agents that one hub keeps figures of. most: names of each."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self.most = most
        self._agents: dict[str, _Agent] = {}

    def admit(self, figures: Sequence[Figures]) -> tuple[list[Figures], list[Event]]:
        """Return what is kept of figures, and what has to be told of the rest."""
        now_s = time.monotonic()
        kept: list[Figures] = []
        told: list[Event] = []
        for each in figures:
            agent = self._agents.setdefault(each.agent, _Agent())
            if each.names in agent.sets:  # as nearly always
                agent.sets[each.names] = now_s
                kept.append(each)
            else:
                kept += self._of_known_sets(agent, self._of_known_names(agent, each, now_s), now_s)
            if agent.dropped and now_s >= agent.next_told_s:
                told.append(_dropped(each.agent, agent.dropped, self.most))
                agent.dropped, agent.next_told_s = 0, now_s + _TOLD_EVERY_S
        return kept, told

    def _of_known_names(self, agent: _Agent, each: Figures, now_s: float) -> Figures:
        """Return the figures whose names are within the bound; new names are, as long as there is room."""
        new = [name for name in each.names if name not in agent.names]
        left_out = set(new[self._room(agent, len(new), now_s) :])
        places = [place for place, name in enumerate(each.names) if name not in left_out]
        agent.names.update((each.names[place], now_s) for place in places)
        if not left_out:
            return each
        agent.dropped += len(each.names) - len(places)
        values = array("d", each.values)
        return Figures(
            each.agent,
            tuple(each.names[place] for place in places),
            each.time_ms,
            array("d", [values[place] for place in places]).tobytes(),
        )

    def _room(self, agent: _Agent, wanted: int, now_s: float) -> int:
        """Return how many further names there may be; what was not heard for long makes room."""
        room = self.most - len(agent.names)
        if room < wanted and now_s >= agent.next_sweep_s:
            agent.next_sweep_s = now_s + _TOLD_EVERY_S
            _sweep(agent, now_s - _HELD_S)
            room = self.most - len(agent.names)
        return max(0, room)

    def _of_known_sets(self, agent: _Agent, each: Figures, now_s: float) -> list[Figures]:
        if each.names in agent.sets or len(agent.sets) < MOST_SETS:
            agent.sets[each.names] = now_s
            return [each]
        return [
            Figures(each.agent, (name,), each.time_ms, each.values[8 * place : 8 * place + 8])
            for place, name in enumerate(each.names)
        ]


def _sweep(agent: _Agent, before_s: float) -> None:
    """Forget the names that were not heard since, and the sets that have one of them."""
    for names, at_s in agent.sets.items():
        agent.names.update((name, max(at_s, agent.names.get(name, at_s))) for name in names)
    agent.names = {name: at_s for name, at_s in agent.names.items() if at_s > before_s}
    agent.sets = {names: at_s for names, at_s in agent.sets.items() if agent.names.keys() >= set(names)}


def _dropped(agent: str, count: int, most: int) -> Event:
    values = "1 value was" if count == 1 else f"{count} values were"
    text = f"`{agent}` has more than {most} names of figures: {values} dropped"
    body = {"level": "warning", "dropped": count, "most": most, "text": text}
    return Event(int(time.time() * 1000), "figures-dropped", agent, body)
