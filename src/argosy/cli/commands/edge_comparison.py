"""Compares a fleet's edges as declared, as found in the sources and as observed in running processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from argosy.cli.render.graph_view import GraphView
from argosy.engine.control.control_client import connect
from argosy.engine.explain.live_edges import SUBSCRIPTION, LiveEdges, find_live_edges
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import Fault, RefusedError
from argosy.refit.analysis.source_edges import (
    NO_TRACE_REASON,
    SourceEdges,
    describe_undeclared_edge,
    describe_unused_edge,
    find_source_edges,
)
from argosy.wire.address_book import read_address_book

EdgePair = tuple[str, str]


class EdgeDifference(msgspec.Struct, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """An edge that differs between the views.

    code: D503 not declared, D504 not used. declared: needs, wants, or empty. written, real: the evidence.
    where: the location to change. proposal: what to write there.
    """

    code: str
    source: str
    target: str
    declared: str = ""
    written: tuple[str, ...] = ()
    real: tuple[str, ...] = ()
    where: str
    message: str
    proposal: str


class EdgeComparison(msgspec.Struct, frozen=True):
    """The result; a view that was not requested is None. running: the agents that run here."""

    in_sources: SourceEdges | None
    observed: LiveEdges | None
    running: frozenset[str]
    differences: tuple[EdgeDifference, ...]


def compare_edges(view: GraphView, *, with_sources: bool, with_processes: bool) -> EdgeComparison:
    """Return the differences between the requested views.

    Raises RefusedError: `with_processes`, and the fleet does not run.
    """
    in_sources = find_source_edges(view.fleet, os.environ) if with_sources else None
    observed, running = _observe_processes(view) if with_processes else (None, frozenset())
    declared = {(edge.source, edge.target): edge.kind for edge in reversed(view.edges)}
    compared = EdgeComparison(in_sources, observed, running, ())
    where_by_edge = {(edge.source, edge.target): edge.where for edge in reversed(view.edges)}
    differences = [
        *_undeclared(view, compared, declared),
        *_undeclared_of_cells(view, compared, declared),
        *_unused(compared, declared, where_by_edge),
    ]
    return msgspec.structs.replace(compared, differences=tuple(differences))


def _observe_processes(view: GraphView) -> tuple[LiveEdges, frozenset[str]]:
    state_dir = locate_state_dir(view.fleet.path)
    client = connect(state_dir, "graph")
    applied_plan = load_applied_plan(state_dir)
    if client is None or applied_plan is None:
        message = "this fleet is not running, so there are no connections to compare"
        hint = "`argosy up -d` starts it; without `--real` only the sources are compared"
        raise RefusedError(Fault(view.fleet.path, "not-running", message, hint))
    with client:
        report = client.fetch_status()
    local_agents = report.local_agents()
    pid_by_agent = {name: agent.pid for name, agent in local_agents.items() if agent.pid is not None}
    address_book = read_address_book(Path(state_dir.address_book))
    ports = [
        (name, entry.host, port)
        for name, entry in address_book.agents.items()
        for port in (entry.port, entry.health_port)
        if port is not None
    ]
    remote_endpoints = {(host, port): name for name, host, port in ports if name not in local_agents}
    agent_by_port = {port: name for name, _, port in ports if name in pid_by_agent}
    return find_live_edges(pid_by_agent, agent_by_port, remote_endpoints), frozenset(pid_by_agent)


def _undeclared(
    view: GraphView, compared: EdgeComparison, declared: Mapping[EdgePair, str]
) -> list[EdgeDifference]:
    in_sources = _edges_with_evidence(compared.in_sources)
    observed = compared.observed.edges if compared.observed else {}
    found = []
    for edge in dict.fromkeys([*in_sources, *observed]):
        if edge in declared or edge[0] not in view.fleet.agents or edge[1] not in view.fleet.agents:
            continue
        if edge not in in_sources and set(observed[edge]) == {SUBSCRIPTION}:
            continue  # a subscription to a topic names no agent
        agent, other = edge
        evidence = [*in_sources.get(edge, ())[:2], *observed.get(edge, ())[:2]]
        spec = view.fleet.agents[agent]
        wants = ", ".join([*spec.wants, other])
        found.append(
            EdgeDifference(
                code="D503",
                source=agent,
                target=other,
                written=in_sources.get(edge, ()),
                real=observed.get(edge, ()),
                where=spec.where,
                message=describe_undeclared_edge(agent, other, evidence),
                proposal=f"wants: [{wants}]",
            )
        )
    return found


def _edges_with_evidence(in_sources: SourceEdges | None) -> dict[EdgePair, tuple[str, ...]]:
    edges = in_sources.edges if in_sources is not None else {}
    return {edge: tuple(spot.display() for spot in spots) for edge, spots in edges.items()}


def _undeclared_of_cells(
    view: GraphView, compared: EdgeComparison, declared: Mapping[EdgePair, str]
) -> list[EdgeDifference]:
    """Return the connections of cells that none of their agents declares."""
    found = []
    for (cell_agents, other), evidence in (compared.observed.shared if compared.observed else {}).items():
        agents = [name for name in cell_agents if name in view.fleet.agents and name != other]
        if other not in view.fleet.agents or not agents or set(evidence) == {SUBSCRIPTION}:
            continue
        # An edge in the sources is reported for the agent whose source has it.
        known = {*declared, *(compared.in_sources.edges if compared.in_sources else ())}
        if any((name, other) in known for name in agents):
            continue
        cell = view.fleet.agents[agents[0]].cell
        found.append(
            EdgeDifference(
                code="D503",
                source=f"cell {cell}",
                target=other,
                real=evidence,
                where=view.fleet.agents[agents[0]].where,
                message=(
                    f"an agent of cell `{cell}` connects to `{other}` ({', '.join(evidence[:2])}), "
                    f"and none of its {len(agents)} agents declares it"
                ),
                proposal=f"wants: [{other}], for the agent that calls it",
            )
        )
    return found


def _unused(
    compared: EdgeComparison, declared: Mapping[EdgePair, str], where_by_edge: dict[EdgePair, str]
) -> list[EdgeDifference]:
    """Return the declared edges that no requested view confirms."""
    found = []
    for edge, kind in declared.items():
        traces = _missing_traces(compared, edge, kind)
        if traces:
            found.append(
                EdgeDifference(
                    code="D504",
                    source=edge[0],
                    target=edge[1],
                    declared=kind,
                    where=where_by_edge[edge],
                    message=describe_unused_edge(*edge, kind, traces),
                    proposal=f"remove `{edge[1]}` from `{kind}`, unless it only sets the order",
                )
            )
    return found


def _missing_traces(compared: EdgeComparison, edge: EdgePair, kind: str) -> list[str]:
    """Return what each view lacks; nothing if one of them has the edge or cannot decide."""
    missing = []
    if compared.in_sources is not None:
        if not compared.in_sources.is_untraced(edge):
            return []
        missing.append(NO_TRACE_REASON)
    if compared.observed is not None:
        if compared.observed.has_edge(edge) or not set(edge) <= compared.running:
            return []
        if kind == "wants" and compared.in_sources is None:
            return []  # a wanted agent may be called later
        missing.append("it has no connection to it now")
    return missing


def edges_text(compared: EdgeComparison) -> str:
    """Return the differences as text."""
    lines = [""]
    for label, edges in (
        ("found in the sources", compared.in_sources.edges if compared.in_sources else None),
        ("observed in processes", compared.observed.edges if compared.observed else None),
    ):
        if edges is not None:
            lines.append(f"{len(edges)} edges {label}")
    if compared.observed is not None and compared.observed.shared:
        lines.append(f"{len(compared.observed.shared)} edges observed in cells, by one of their agents")
    if compared.observed is not None and not compared.observed.is_complete:
        lines.append("  without unix sockets: this kernel does not report their peers (sock_diag)")
    if compared.in_sources is not None and compared.in_sources.unreadable_agents:
        unread = sorted(compared.in_sources.unreadable_agents)
        lines.append(f"  {len(unread)} agents could not be read completely: {', '.join(unread[:5])}")
    lines += ["", f"differences: {len(compared.differences) or 'none'}"]
    for difference in compared.differences:
        lines.append(f"  {difference.code} {difference.where}: {difference.message}")
        if difference.code == "D503":
            lines.append(f"       {difference.proposal}")
    return "\n".join(lines) + "\n"


def edges_json(compared: EdgeComparison) -> dict[str, Any]:
    """Return the keys that the comparison adds to `graph/1`."""
    found: dict[str, Any] = {"differences": msgspec.to_builtins(compared.differences)}
    if compared.in_sources is not None:
        found["written"] = _edges_json(_edges_with_evidence(compared.in_sources))
        found["unread"] = sorted(compared.in_sources.unreadable_agents)
    if compared.observed is not None:
        found["real"] = _edges_json(compared.observed.edges)
        found["real_of_cells"] = [
            {"agents": list(agents), "to": other, "evidence": list(evidence)}
            for (agents, other), evidence in compared.observed.shared.items()
        ]
        found["sees_unix_sockets"] = compared.observed.is_complete
    return found


def _edges_json(edges: dict[EdgePair, tuple[str, ...]]) -> list[dict[str, object]]:
    return [{"from": one, "to": other, "evidence": list(how)} for (one, other), how in edges.items()]
