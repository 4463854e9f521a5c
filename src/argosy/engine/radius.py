"""The blast radius of a restart: who goes with it, who runs on without it for how long. Pure.

It is a rehearsal of what `crew`, `cell` and `unit` do, event by event: a process falls, it has ended, its
agents are ready one after the other. With `stop` a dependent goes down at once and comes back after what
it needs, with `restart` it goes down when that is back; whoever goes down takes its cell with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from typing import Literal

import msgspec

from argosy.engine.cellplan import hull_name
from argosy.engine.past import Estimate, Past, estimate_starts, estimate_stop
from argosy.engine.plan import ProcessSpec
from argosy.fleet.graph import Graph, graph_of

How = Literal["named", "restart", "stop", "cell"]


class Outage(msgspec.Struct, frozen=True):
    """One agent that goes away: from `from_s` to `to_s` after the restart was asked for.

    how: it was named, or its `on_death` for `because` says so, or it shares its process with `because`. stop,
    start: what that is reckoned from, of an agent in a cell those of the process.
    """

    agent: str
    how: How
    because: str
    from_s: float
    to_s: float
    stop: Estimate
    start: Estimate


class Radius(msgspec.Struct, frozen=True):
    """Whom a restart touches.

    outages: those that restart, in the order in which they are ready again. degraded, reconnected:
    those that need one of them directly and run on, the first told to be degraded meanwhile.
    through: those that only need one of all these. mates: by cell, those that only share a process with
    one that was named. waiting_s: for each of `degraded` and `reconnected`, how long something that it
    needs is away.
    """

    outages: tuple[Outage, ...]
    degraded: tuple[str, ...]
    reconnected: tuple[str, ...]
    through: tuple[str, ...]
    mates: dict[str, list[str]]
    waiting_s: dict[str, float]

    @property
    def seconds(self) -> float:
        """Until all of it is ready again."""
        return max((outage.to_s for outage in self.outages), default=0.0)

    def stop_order(self) -> list[str]:
        """Return who goes down, the first first."""
        return [outage.agent for outage in sorted(self.outages, key=lambda each: each.from_s)]


def radius_of(
    names: Iterable[str],
    processes: Mapping[str, ProcessSpec],
    running: Collection[str],
    past: Mapping[str, Past],
) -> Radius:
    """Return what a restart of `names` touches among those that run.

    processes: all of this machine. past: of agents, and of the processes of cells.
    """
    graph = graph_of({name: spec.need_names() for name, spec in processes.items()})
    found = _Rehearsal(graph, processes, running, past).of(names)
    return _radius(graph, processes, running, found)


class _Step(IntEnum):
    """What happens; of what happens at one moment, the fall comes first, so that nobody counts on it."""

    FALL = 0
    READY = 1
    ENDED = 2


class _Rehearsal:
    """One restart, played through."""

    def __init__(
        self,
        graph: Graph,
        processes: Mapping[str, ProcessSpec],
        running: Collection[str],
        past: Mapping[str, Past],
    ) -> None:
        self._graph = graph
        self._processes = processes
        self._running = running
        self._past = past
        cells = {spec.cell for spec in processes.values() if spec.cell is not None}
        self._starts = estimate_starts(graph.agents, past) | estimate_starts(map(hull_name, cells), past)
        self._found: dict[str, Outage] = {}
        self._away: set[str] = set()  # gone and not ready again
        self._waiting: dict[str, None] = {}  # ended, and without all that it needs
        self._events: list[tuple[float, _Step, int, str]] = []
        self._order = {name: at for at, name in enumerate(graph.start_order())}

    def of(self, names: Iterable[str]) -> dict[str, Outage]:
        """Return the outages, by agent."""
        # All that are named go down before anything follows from it.
        for name in names:
            self._fall(name, "named", "", 0.0)
        while self._events:
            at_s, step, _, name = heapq.heappop(self._events)
            if step is _Step.FALL:
                self._take_along(name, at_s)
            elif step is _Step.ENDED:
                self._waiting[name] = None
                self._begin(name, at_s)
            else:
                self._come_back(name, at_s)
        return self._found

    def _fall(self, name: str, how: How, because: str, at_s: float) -> None:
        """Have an agent go down, and all that are in its process."""
        if name in self._found:
            if how == "named":
                self._found[name] = msgspec.structs.replace(self._found[name], how=how, because="")
            return
        cell = self._processes[name].cell
        group = (name, *self._mates(name))
        stop = max(map(self._stop, group), key=lambda each: each.seconds)
        start = self._starts[name if cell is None else hull_name(cell)]
        # The process of a cell comes before its agents.
        ended_s = at_s + stop.seconds + (start.seconds if cell is not None and name in self._running else 0.0)
        for each in group:
            why: tuple[How, str] = (how, because) if each == name else ("cell", name)
            self._found[each] = Outage(each, *why, at_s, at_s, stop, start)
            self._away.add(each)
            self._push(at_s, _Step.FALL, each)
            self._push(ended_s, _Step.ENDED, each)

    def _mates(self, name: str) -> list[str]:
        """Return the others in the agent's process; none where it has none yet."""
        cell = self._processes[name].cell
        if cell is None or name not in self._running:
            return []
        return [
            each
            for each, spec in self._processes.items()
            if spec.cell == cell and each != name and each in self._running and each not in self._found
        ]

    def _stop(self, name: str) -> Estimate:
        return estimate_stop(self._past.get(name, Past()))

    def _take_along(self, name: str, at_s: float) -> None:
        for other in self._graph.dependents(name):
            if self._on_death(other, name) == "stop" and other in self._running:
                self._fall(other, "stop", name, at_s)

    def _begin(self, name: str, at_s: float) -> None:
        """Start an agent that has ended, if all that it needs is there."""
        if not self._away.intersection(self._graph.needs[name]):
            del self._waiting[name]
            self._push(at_s + self._starts[name].seconds, _Step.READY, name)

    def _come_back(self, name: str, at_s: float) -> None:
        self._away.discard(name)
        self._found[name] = msgspec.structs.replace(self._found[name], to_s=at_s)
        dependents = sorted(self._graph.dependents(name), key=self._order.__getitem__)
        for other in dependents:
            if self._on_death(other, name) == "restart" and other in self._running:
                self._fall(other, "restart", name, at_s)
        for other in dependents:
            if other in self._waiting:
                self._begin(other, at_s)

    def _on_death(self, name: str, need: str) -> str:
        return next(each.on_death for each in self._processes[name].needs if each.agent == need)

    def _push(self, at_s: float, step: _Step, name: str) -> None:
        heapq.heappush(self._events, (at_s, step, self._order[name], name))


def _radius(
    graph: Graph, processes: Mapping[str, ProcessSpec], running: Collection[str], found: Mapping[str, Outage]
) -> Radius:
    degraded: list[str] = []
    reconnected: list[str] = []
    waiting_s: dict[str, float] = {}
    for name in graph.agents:
        away = {need.agent: need.on_death for need in processes[name].needs if need.agent in found}
        if name in found or not away or name not in running:
            continue
        (degraded if "degrade" in away.values() else reconnected).append(name)
        waiting_s[name] = max(found[need].to_s - found[need].from_s for need in away)
    mates: dict[str, list[str]] = {}
    for name, outage in sorted(found.items()):
        if outage.how == "cell" and found[outage.because].how == "named":
            mates.setdefault(processes[name].cell or "", []).append(name)
    direct = {*found, *degraded, *reconnected}
    return Radius(
        outages=tuple(sorted(found.values(), key=lambda outage: outage.to_s)),
        degraded=tuple(degraded),
        reconnected=tuple(reconnected),
        through=tuple(name for name in graph.affected(found) if name in running and name not in direct),
        mates=mates,
        waiting_s=waiting_s,
    )
