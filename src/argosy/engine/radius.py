"""The blast radius of a restart: who goes with it, who runs on without it for how long. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from argosy.engine.past import Estimate, Past, estimate_starts, estimate_stop
from argosy.engine.plan import ProcessSpec
from argosy.fleet.graph import Graph, graph_of

How = Literal["named", "restart", "stop"]


class Outage(msgspec.Struct, frozen=True):
    """One agent that goes away: from `from_s` to `to_s` after the restart was asked for.

    how: it was named, or its `on_death` for `because` says so. stop, start: what that is reckoned from.
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
    through: those that only need one of all these. waiting_s: for each of `degraded` and `reconnected`,
    how long something that it needs is away.
    """

    outages: tuple[Outage, ...]
    degraded: tuple[str, ...]
    reconnected: tuple[str, ...]
    through: tuple[str, ...]
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

    processes: all of this machine. The rules are those of `crew` and `unit`: with `stop` a dependent goes
    down at once and comes back after what it needs, with `restart` it goes down when that is back.
    """
    named = set(names)
    graph = graph_of({name: spec.need_names() for name, spec in processes.items()})
    starts = estimate_starts(graph.agents, past)
    found: dict[str, Outage] = {}
    for name in graph.start_order():
        how, because = _how(processes[name], found, name in named, name in running)
        if how is not None:
            stop = estimate_stop(past.get(name, Past()))
            found[name] = _outage(name, how, because, graph, found, stop, starts[name])
    return _radius(graph, processes, running, found)


def _how(
    spec: ProcessSpec, found: Mapping[str, Outage], is_named: bool, is_running: bool
) -> tuple[How | None, str]:
    if is_named:
        return "named", ""
    causes = {need.agent: need.on_death for need in spec.needs if need.agent in found} if is_running else {}
    for how in ("stop", "restart"):
        because = next((need for need, on_death in causes.items() if on_death == how), None)
        if because is not None:
            return ("stop" if how == "stop" else "restart"), because
    return None, ""


def _outage(
    name: str,
    how: How,
    because: str,
    graph: Graph,
    found: Mapping[str, Outage],
    stop: Estimate,
    start: Estimate,
) -> Outage:
    away = [found[need] for need in graph.needs[name] if need in found]
    cause = found.get(because)
    from_s = 0.0 if cause is None else cause.to_s if how == "restart" else cause.from_s
    # It starts when it has ended and what it needs is back.
    free_s = max([from_s + stop.seconds, *(need.to_s for need in away)])
    return Outage(name, how, because, from_s, free_s + start.seconds, stop, start)


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
    direct = {*found, *degraded, *reconnected}
    return Radius(
        outages=tuple(sorted(found.values(), key=lambda outage: outage.to_s)),
        degraded=tuple(degraded),
        reconnected=tuple(reconnected),
        through=tuple(name for name in graph.affected(found) if name in running and name not in direct),
        waiting_s=waiting_s,
    )
