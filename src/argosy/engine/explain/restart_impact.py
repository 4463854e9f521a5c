"""A restart and a start, simulated: who restarts, how long others run without them, when each is ready. Pure.

A restart does what `dependents`, `managed_cell` and `unit` do, event by event: a process is stopped, exits,
and its agents become ready one by one. With `stop` a dependent stops at once and starts after its needs,
with `restart` it stops once the need is ready again; an agent that stops takes its cell with it.

A start follows the rules of `admission`: the agent with the longest chain of dependents is admitted first,
as long as a slot is free.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from typing import Literal

import msgspec

from argosy.engine.admission.cpu_pressure import STARTS_PER_PROCESSOR, dependent_chain_lengths
from argosy.engine.explain.timing_history import (
    DurationEstimate,
    TimingHistory,
    estimate_starts,
    estimate_stop,
)
from argosy.engine.plan.cell_plan import cell_unit_name
from argosy.engine.plan.process_plan import ProcessSpec
from argosy.fleet.dependency_graph import CriticalStep, Graph, UnknownAgentError, graph_from_edges

OutageCause = Literal["named", "restart", "stop", "cell"]


class Outage(msgspec.Struct, frozen=True):
    """One agent that restarts: from `from_s` to `to_s`, seconds after the request.

    cause: it was named, or its `on_death` for `caused_by` says so, or it shares its process with `caused_by`.
    stop, start: the estimates used, for an agent in a cell those of the process.
    """

    agent: str
    cause: OutageCause
    caused_by: str
    from_s: float
    to_s: float
    stop: DurationEstimate
    start: DurationEstimate


class RestartImpact(msgspec.Struct, frozen=True):
    """The agents that a restart affects.

    outages: those that restart, in the order in which they are ready again. degraded, reconnecting: those
    that need one of them directly and keep running, the former reported as degraded meanwhile.
    indirectly_affected: those that only depend on one of all these. cell_members: by cell, those that only
    share a process with a named one. unavailable_s: for each of `degraded` and `reconnecting`, how long a
    need of it is unavailable.
    """

    outages: tuple[Outage, ...]
    degraded: tuple[str, ...]
    reconnecting: tuple[str, ...]
    indirectly_affected: tuple[str, ...]
    cell_members: dict[str, list[str]]
    unavailable_s: dict[str, float]

    @property
    def seconds(self) -> float:
        """Seconds until all of it is ready again."""
        return max((outage.to_s for outage in self.outages), default=0.0)

    def stop_order(self) -> list[str]:
        """Return the agents in the order in which they stop."""
        return [outage.agent for outage in sorted(self.outages, key=lambda each: each.from_s)]


def estimate_impact(
    names: Iterable[str],
    processes: Mapping[str, ProcessSpec],
    running: Collection[str],
    history: Mapping[str, TimingHistory],
) -> RestartImpact:
    """Return the impact of a restart of `names` on the running agents.

    processes: all of this machine. history: of agents, and of the processes of cells.
    """
    graph = graph_from_edges({name: spec.need_names() for name, spec in processes.items()})
    outages = _RestartSimulation(graph, processes, running, history).run(names)
    return _build_impact(graph, processes, running, outages)


class _SimulationStep(IntEnum):
    """An event; at the same moment, DOWN comes first, so that no agent relies on a stopped one."""

    DOWN = 0
    READY = 1
    EXITED = 2


class _RestartSimulation:
    """The simulation of one restart."""

    def __init__(
        self,
        graph: Graph,
        processes: Mapping[str, ProcessSpec],
        running: Collection[str],
        history: Mapping[str, TimingHistory],
    ) -> None:
        self._graph = graph
        self._processes = processes
        self._running = running
        self._history = history
        cells = {spec.cell for spec in processes.values() if spec.cell is not None}
        self._starts = estimate_starts(graph.agents, history) | estimate_starts(
            map(cell_unit_name, cells), history
        )
        self._outages: dict[str, Outage] = {}
        self._unavailable: set[str] = set()  # stopped and not ready again
        self._waiting_to_start: dict[str, None] = {}  # exited, and some needs are not ready
        self._events: list[tuple[float, _SimulationStep, int, str]] = []
        self._start_index = {name: at for at, name in enumerate(graph.start_order())}

    def run(self, names: Iterable[str]) -> dict[str, Outage]:
        """Return the outages, by agent."""
        # All named agents stop before their dependents are considered.
        for name in names:
            self._take_down(name, "named", "", 0.0)
        while self._events:
            at_s, step, _, name = heapq.heappop(self._events)
            if step is _SimulationStep.DOWN:
                self._take_down_dependents(name, at_s)
            elif step is _SimulationStep.EXITED:
                self._waiting_to_start[name] = None
                self._start_if_possible(name, at_s)
            else:
                self._on_ready(name, at_s)
        return self._outages

    def _take_down(self, name: str, cause: OutageCause, caused_by: str, at_s: float) -> None:
        """Stop an agent, and all that share its process."""
        if name in self._outages:
            if cause == "named":
                self._outages[name] = msgspec.structs.replace(self._outages[name], cause=cause, caused_by="")
            return
        cell = self._processes[name].cell
        group = (name, *self._cell_members_of(name))
        stop = max(map(self._stop_estimate, group), key=lambda each: each.seconds)
        start = self._starts[name if cell is None else cell_unit_name(cell)]
        # The process of a cell is ready before its agents.
        ended_s = at_s + stop.seconds + (start.seconds if cell is not None and name in self._running else 0.0)
        for each in group:
            cause_and_source: tuple[OutageCause, str] = (cause, caused_by) if each == name else ("cell", name)
            self._outages[each] = Outage(each, *cause_and_source, at_s, at_s, stop, start)
            self._unavailable.add(each)
            self._push(at_s, _SimulationStep.DOWN, each)
            self._push(ended_s, _SimulationStep.EXITED, each)

    def _cell_members_of(self, name: str) -> list[str]:
        """Return the other agents in its process; none if it does not run yet."""
        cell = self._processes[name].cell
        if cell is None or name not in self._running:
            return []
        return [
            each
            for each, spec in self._processes.items()
            if spec.cell == cell and each != name and each in self._running and each not in self._outages
        ]

    def _stop_estimate(self, name: str) -> DurationEstimate:
        return estimate_stop(self._history.get(name, TimingHistory()))

    def _take_down_dependents(self, name: str, at_s: float) -> None:
        for other in self._graph.dependents(name):
            if self._death_action(other, name) == "stop" and other in self._running:
                self._take_down(other, "stop", name, at_s)

    def _start_if_possible(self, name: str, at_s: float) -> None:
        """Start an agent that has exited, if all its needs are ready."""
        if not self._unavailable.intersection(self._graph.needs[name]):
            del self._waiting_to_start[name]
            self._push(at_s + self._starts[name].seconds, _SimulationStep.READY, name)

    def _on_ready(self, name: str, at_s: float) -> None:
        self._unavailable.discard(name)
        self._outages[name] = msgspec.structs.replace(self._outages[name], to_s=at_s)
        dependents = sorted(self._graph.dependents(name), key=self._start_index.__getitem__)
        for other in dependents:
            if self._death_action(other, name) == "restart" and other in self._running:
                self._take_down(other, "restart", name, at_s)
        for other in dependents:
            if other in self._waiting_to_start:
                self._start_if_possible(other, at_s)

    def _death_action(self, name: str, need: str) -> str:
        return self._processes[name].on_death_of(need)

    def _push(self, at_s: float, step: _SimulationStep, name: str) -> None:
        heapq.heappush(self._events, (at_s, step, self._start_index[name], name))


def _build_impact(
    graph: Graph,
    processes: Mapping[str, ProcessSpec],
    running: Collection[str],
    outages: Mapping[str, Outage],
) -> RestartImpact:
    degraded: list[str] = []
    reconnecting: list[str] = []
    unavailable_s: dict[str, float] = {}
    for name in graph.agents:
        unavailable = {need.agent: need.on_death for need in processes[name].needs if need.agent in outages}
        if name in outages or not unavailable or name not in running:
            continue
        (degraded if "degrade" in unavailable.values() else reconnecting).append(name)
        unavailable_s[name] = max(outages[need].to_s - outages[need].from_s for need in unavailable)
    cell_members: dict[str, list[str]] = {}
    for name, outage in sorted(outages.items()):
        if outage.cause == "cell" and outages[outage.caused_by].cause == "named":
            cell_members.setdefault(processes[name].cell or "", []).append(name)
    direct = {*outages, *degraded, *reconnecting}
    return RestartImpact(
        outages=tuple(sorted(outages.values(), key=lambda outage: outage.to_s)),
        degraded=tuple(degraded),
        reconnecting=tuple(reconnecting),
        indirectly_affected=tuple(
            name for name in graph.with_dependents(outages) if name in running and name not in direct
        ),
        cell_members=cell_members,
        unavailable_s=unavailable_s,
    )


def start_slots(machines: int = 1) -> int:
    """Return how many agents start at once on so many busy machines like this one."""
    return STARTS_PER_PROCESSOR * len(os.sched_getaffinity(0)) * machines


def simulate_start(graph: Graph, durations_s: Mapping[str, float], slots: int) -> dict[str, CriticalStep]:
    """Return when each agent starts and is ready, in seconds; at most `slots` starts run at once.

    durations_s: seconds from an agent's start to its readiness.
    Raises UnknownAgentError: an agent of the graph has no entry in `durations_s`.
    """
    for name in graph.agents:
        if name not in durations_s:
            raise UnknownAgentError(name)
    chains = dependent_chain_lengths(graph.needs)
    index_of = {name: index for index, name in enumerate(graph.agents)}
    missing = {name: len(graph.needs[name]) for name in graph.agents}
    may_start = [(-chains[name], index_of[name], name) for name in graph.agents if not missing[name]]
    heapq.heapify(may_start)
    starting: list[tuple[float, int, str]] = []
    steps: dict[str, CriticalStep] = {}
    now_s = 0.0
    while may_start or starting:
        while may_start and len(starting) < slots:
            name = heapq.heappop(may_start)[2]
            steps[name] = CriticalStep(name, now_s, now_s + durations_s[name])
            heapq.heappush(starting, (steps[name].ready_s, index_of[name], name))
        now_s, _, name = heapq.heappop(starting)
        for other in graph.needed_by[name]:
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(may_start, (-chains[other], index_of[other], other))
    return steps
