"""A fleet's edges three ways: as declared, as written in the sources, as the running processes hold them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from argosy.cli.graph_view import GraphView
from argosy.engine.client import connect
from argosy.engine.folder import folder_of
from argosy.engine.held_edges import TOPICS, Held, held_edges
from argosy.engine.roster import read_roster
from argosy.fault import Fault, RefusedError
from argosy.refit.written import NO_TRACE, Written, tell_undeclared, tell_unused, written_edges
from argosy.wire.book import read_book

Pair = tuple[str, str]


class Difference(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """An edge that is not the same in every view.

    code: D503 not declared, D504 not used. declared: needs, wants, or empty. written, real: the evidence.
    where: the place to mend. proposal: what to write there.
    """

    code: str
    source: str
    target: str
    declared: str
    written: tuple[str, ...]
    real: tuple[str, ...]
    where: str
    message: str
    proposal: str


class Compared(msgspec.Struct, frozen=True):
    """What was compared; None for a view that was not asked for. running: the agents that run here."""

    written: Written | None
    held: Held | None
    running: frozenset[str]
    differences: tuple[Difference, ...]


def compare_edges(view: GraphView, *, is_code: bool, is_real: bool) -> Compared:
    """Return the differences between the views that are asked for.

    Raises RefusedError: the fleet does not run, so that nothing real can be seen.
    """
    written = written_edges(view.fleet, os.environ) if is_code else None
    held, running = _look_at_processes(view) if is_real else (None, frozenset())
    declared = {(edge.source, edge.target): edge.kind for edge in reversed(view.edges)}
    compared = Compared(written, held, running, ())
    places = {(edge.source, edge.target): edge.where for edge in reversed(view.edges)}
    differences = [
        *_undeclared(view, compared, declared),
        *_undeclared_of_cells(view, compared, declared),
        *_unused(compared, declared, places),
    ]
    return msgspec.structs.replace(compared, differences=tuple(differences))


def _look_at_processes(view: GraphView) -> tuple[Held, frozenset[str]]:
    folder = folder_of(view.fleet.path)
    client = connect(folder, "graph")
    roster = read_roster(folder)
    if client is None or roster is None:
        message = "this fleet is not running, so nobody holds a connection"
        hint = "`argosy up -d`, or leave `--real` out"
        raise RefusedError(Fault(view.fleet.path, "not-running", message, hint))
    with client:
        report = client.report()
    home = report.at_home()
    leaders = {name: agent.pid for name, agent in home.items() if agent.pid is not None}
    book = read_book(Path(folder.book))
    elsewhere = {
        (entry.host, port): name
        for name, entry in book.agents.items()
        for port in (entry.port, entry.health_port)
        if port is not None and name not in home
    }
    doors = {
        port: name
        for name, entry in book.agents.items()
        for port in (entry.port, entry.health_port)
        if port is not None and name in leaders
    }
    return held_edges(leaders, doors, elsewhere), frozenset(leaders)


def _undeclared(view: GraphView, compared: Compared, declared: Mapping[Pair, str]) -> list[Difference]:
    written = _shown(compared.written)
    held = compared.held.edges if compared.held else {}
    found = []
    for edge in dict.fromkeys([*written, *held]):
        if edge in declared or edge[0] not in view.fleet.agents or edge[1] not in view.fleet.agents:
            continue
        if edge not in written and set(held[edge]) == {TOPICS}:
            continue  # who subscribes to a topic names nobody
        agent, other = edge
        evidence = [*written.get(edge, ())[:2], *held.get(edge, ())[:2]]
        spec = view.fleet.agents[agent]
        wants = ", ".join([*spec.wants, other])
        found.append(
            Difference(
                code="D503",
                source=agent,
                target=other,
                declared="",
                written=written.get(edge, ()),
                real=held.get(edge, ()),
                where=spec.where,
                message=tell_undeclared(agent, other, evidence),
                proposal=f"wants: [{wants}]",
            )
        )
    return found


def _shown(written: Written | None) -> dict[Pair, tuple[str, ...]]:
    edges = written.edges if written is not None else {}
    return {edge: tuple(spot.shown() for spot in spots) for edge, spots in edges.items()}


def _undeclared_of_cells(
    view: GraphView, compared: Compared, declared: Mapping[Pair, str]
) -> list[Difference]:
    """Return to whom a cell is connected although none of its agents declares it."""
    found = []
    for (crowd, other), how in (compared.held.shared if compared.held else {}).items():
        agents = [name for name in crowd if name in view.fleet.agents and name != other]
        is_known = other in view.fleet.agents and bool(agents)
        if not is_known or set(how) == {TOPICS} or any((name, other) in declared for name in agents):
            continue
        written = compared.written.edges if compared.written else {}
        if any((name, other) in written for name in agents):
            continue  # told with the agent that its source names
        cell = view.fleet.agents[agents[0]].cell
        found.append(
            Difference(
                code="D503",
                source=f"cell {cell}",
                target=other,
                declared="",
                written=(),
                real=how,
                where=view.fleet.agents[agents[0]].where,
                message=(
                    f"an agent of cell `{cell}` talks to `{other}` ({', '.join(how[:2])}), "
                    f"and none of its {len(agents)} declares it"
                ),
                proposal=f"wants: [{other}], for the one that asks it",
            )
        )
    return found


def _unused(compared: Compared, declared: Mapping[Pair, str], places: dict[Pair, str]) -> list[Difference]:
    """Return the declared edges of which no view that was asked for has a trace."""
    found = []
    for edge, kind in declared.items():
        traces = _missing_traces(compared, edge, kind)
        if traces:
            found.append(
                Difference(
                    code="D504",
                    source=edge[0],
                    target=edge[1],
                    declared=kind,
                    written=(),
                    real=(),
                    where=places[edge],
                    message=tell_unused(*edge, kind, traces),
                    proposal=f"take `{edge[1]}` out of `{kind}`, unless it is meant for the order alone",
                )
            )
    return found


def _missing_traces(compared: Compared, edge: Pair, kind: str) -> list[str]:
    """Return what each view lacks; nothing as soon as one of them has the edge, or cannot tell."""
    traces = []
    if compared.written is not None:
        if not compared.written.has_no_trace_of(edge):
            return []
        traces.append(NO_TRACE)
    if compared.held is not None:
        if compared.held.has_trace_of(edge) or not set(edge) <= compared.running:
            return []
        if kind == "wants" and compared.written is None:
            return []  # who is only wanted may be asked later
        traces.append("it holds no connection to it now")
    return traces


def edges_text(compared: Compared) -> str:
    """Return the differences, for people."""
    lines = [""]
    for word, edges in (
        ("written in the sources", compared.written.edges if compared.written else None),
        ("held by processes now", compared.held.edges if compared.held else None),
    ):
        if edges is not None:
            lines.append(f"{len(edges)} edges {word}")
    if compared.held is not None and compared.held.shared:
        lines.append(
            f"{len(compared.held.shared)} edges held by cells now, by one or another of their agents"
        )
    if compared.held is not None and not compared.held.is_whole:
        lines.append("  without unix sockets: this kernel does not tell their other ends (sock_diag)")
    if compared.written is not None and compared.written.unread:
        unread = sorted(compared.written.unread)
        lines.append(f"  {len(unread)} agents could not be read whole: {', '.join(unread[:5])}")
    lines += ["", f"differences: {len(compared.differences) or 'none'}"]
    for each in compared.differences:
        lines.append(f"  {each.code} {each.where}: {each.message}")
        if each.code == "D503":
            lines.append(f"       {each.proposal}")
    return "\n".join(lines) + "\n"


def edges_object(compared: Compared) -> dict[str, Any]:
    """Return the keys that `graph/1` has of the comparison."""
    found: dict[str, Any] = {"differences": msgspec.to_builtins(compared.differences)}
    if compared.written is not None:
        found["written"] = _listed(_shown(compared.written))
        found["unread"] = sorted(compared.written.unread)
    if compared.held is not None:
        found["real"] = _listed(compared.held.edges)
        found["real_of_cells"] = [
            {"agents": list(crowd), "to": other, "evidence": list(how)}
            for (crowd, other), how in compared.held.shared.items()
        ]
        found["sees_unix_sockets"] = compared.held.is_whole
    return found


def _listed(edges: dict[Pair, tuple[str, ...]]) -> list[dict[str, object]]:
    return [{"from": one, "to": other, "evidence": list(how)} for (one, other), how in edges.items()]
