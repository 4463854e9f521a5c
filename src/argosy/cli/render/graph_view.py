"""The data of a fleet's graph for all renderings: agents, edges with locations, levels, cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from argosy.fleet.dependency_graph import CriticalStep, Graph, build_graph
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.schedule import EdgeCost

_MIN_COST_S = 0.0005


class GraphEdge(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """An edge: `source` needs or wants `target`, declared at `where` (`file:line:column`)."""

    source: str
    target: str
    kind: Literal["needs", "wants"]
    where: str


class GraphView(msgspec.Struct, frozen=True):
    """A graph with everything that its renderings show, computed once."""

    fleet: Fleet
    graph: Graph
    edges: tuple[GraphEdge, ...]
    levels: tuple[tuple[str, ...], ...]
    cycles: tuple[tuple[str, ...], ...]
    redundant: frozenset[tuple[str, str]]
    longest_chain: tuple[str, ...]

    def needs(self) -> list[GraphEdge]:
        """Return the edges that the start waits for."""
        return [edge for edge in self.edges if edge.kind == "needs"]

    def is_redundant(self, edge: GraphEdge) -> bool:
        """Return whether another chain of needs implies `edge`."""
        return edge.kind == "needs" and (edge.source, edge.target) in self.redundant

    def is_in_cycle(self, edge: GraphEdge) -> bool:
        """Return whether `edge` is part of a reported cycle."""
        return edge.kind == "needs" and any(
            (edge.source, edge.target) in zip(cycle, (*cycle[1:], cycle[0]), strict=True)
            for cycle in self.cycles
        )


def view_graph(fleet: Fleet) -> GraphView:
    """Return the view of a fleet's graph; edges to unknown names are left out."""
    graph = build_graph(fleet)
    return GraphView(
        fleet=fleet,
        graph=graph,
        edges=tuple(_graph_edges(fleet)),
        levels=graph.levels(),
        cycles=graph.cycles(),
        redundant=frozenset(graph.redundant()),
        longest_chain=graph.longest_chain(),
    )


def _graph_edges(fleet: Fleet) -> list[GraphEdge]:
    found: dict[tuple[str, str, str], GraphEdge] = {}
    for spec in fleet.agents.values():
        lists: dict[Literal["needs", "wants"], list[str]] = {
            "needs": [need.agent for need in spec.needs],
            "wants": list(spec.wants),
        }
        for kind, names in lists.items():
            for index, name in enumerate(names):
                own, inherited = f"agents.{spec.name}.{kind}.{index}", f"defaults.{kind}.{index}"
                where = fleet.locations.get(own) or fleet.locations.get(inherited, spec.where)
                if name in fleet.agents:
                    found.setdefault((spec.name, name, kind), GraphEdge(spec.name, name, kind, where))
    return list(found.values())


def graph_json(view: GraphView) -> dict[str, Any]:
    """Return the object `graph/1`."""
    level_of = {name: index for index, level in enumerate(view.levels) for name in level}
    agents = {
        spec.name: {
            "machine": spec.machine,
            "group": spec.group,
            "port": spec.port,
            "level": level_of[spec.name],
            "where": spec.where,
        }
        for spec in view.fleet.agents.values()
    }
    return {
        "argosy": "graph/1",
        "fleet": view.fleet.name,
        "agents": agents,
        "edges": msgspec.to_builtins(view.edges),
        "levels": [list(level) for level in view.levels],
        "cycles": [list(cycle) for cycle in view.cycles],
        "redundant": [msgspec.to_builtins(edge) for edge in view.edges if view.is_redundant(edge)],
        "critical_path": [{"agent": name} for name in view.longest_chain],
        "differences": [],
    }


def critical_path_json(path: Sequence[CriticalStep]) -> list[dict[str, Any]]:
    """Return the steps of a critical path as in `plan/1` and `timeline/1`."""
    return [
        {"agent": step.agent, "started": round(step.started_s, 4), "ready": round(step.ready_s, 4)}
        for step in path
    ]


def edge_cost_json(cost: EdgeCost) -> dict[str, Any]:
    """Return an edge with its cost in `plan/1` and `timeline/1`."""
    ends = {"from": cost.agent, "to": cost.need}
    return {**ends, "agent_seconds": round(cost.agent_s, 4), "fleet_seconds": round(cost.fleet_s, 4)}


def edge_cost_lines(costs: Iterable[EdgeCost], most: int, note: Callable[[EdgeCost], str]) -> list[str]:
    """Return a line for each need that delays the fleet, at most `most`, and how many more there are."""
    costly = [cost for cost in costs if cost.fleet_s >= _MIN_COST_S]
    lines = [
        f"  {cost.fleet_s:7.3f} s  {cost.agent} needs {cost.need}  {note(cost)}" for cost in costly[:most]
    ]
    rest = len(costly) - most
    return lines + ([f"  and {rest} more; `--json` has all"] if rest > 0 else [])
