"""Renders a fleet's graph as one self-contained HTML page: a layered SVG and a short script.

Levels are columns, agents without needs at the left. Within a column the agents are ordered by the
barycentre of their neighbours, in sweeps (Sugiyama, Tagawa and Toda 1981), over the needs that no other
implies: these few edges determine the order, and are drawn strong.
"""

from __future__ import annotations

from html import escape

import msgspec

from argosy.cli.render.graph_view import GraphEdge, GraphView
from argosy.fleet.quantities import format_count
from argosy.html_page import render_page

_SWEEPS = 12
_LETTER_WIDTH = 7.2  # approximate width of a letter at 12 px
_BOX_HEIGHT = 22
_ROW_HEIGHT = 30
_COLUMN_GAP = 90
_MARGIN = 20
_HEADER_HEIGHT = 34
_COLOURS = ("#2563a8", "#a8562a", "#3b7d4f", "#7a4a9e", "#8a6d1d", "#a3324f", "#2f7f86", "#5d6470")


class GraphBox(msgspec.Struct, frozen=True):
    """The box of an agent: its upper left corner and its width, in pixels."""

    x: float
    y: float
    width: float


def render_graph_page(view: GraphView) -> str:
    """Return the whole page."""
    boxes = layout_graph(view)
    colours = _machine_colours(view)
    return render_page(
        f"{view.fleet.name}: graph",
        "argosy.cli.render",
        "graph_page.html",
        name=escape(view.fleet.name),
        summary=escape(_summary(view)),
        legend=_legend(colours),
        svg=_graph_svg(view, boxes, colours),
    )


def layout_graph(view: GraphView) -> dict[str, GraphBox]:
    """Return the box of each agent: a column for each level, rows ordered for short edges."""
    columns = _order_levels(view)
    tallest = max(map(len, columns), default=0)
    boxes: dict[str, GraphBox] = {}
    x = float(_MARGIN)
    for column in columns:
        width = max(len(name) for name in column) * _LETTER_WIDTH + 16
        top = _MARGIN + _HEADER_HEIGHT + (tallest - len(column)) * _ROW_HEIGHT / 2
        boxes.update({name: GraphBox(x, top + row * _ROW_HEIGHT, width) for row, name in enumerate(column)})
        x += width + _COLUMN_GAP
    return boxes


def _order_levels(view: GraphView) -> list[list[str]]:
    """Return the levels, each ordered so that neighbours are close."""
    columns = [list(level) for level in view.levels]
    neighbours: dict[str, list[str]] = {name: [] for name in view.graph.agents}
    for edge in view.needs():
        if not view.is_redundant(edge):
            neighbours[edge.source].append(edge.target)
            neighbours[edge.target].append(edge.source)
    row = {name: _centred_row(index, column) for column in columns for index, name in enumerate(column)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            weight = {
                name: sum(row[other] for other in neighbours[name]) / len(neighbours[name])
                if neighbours[name]
                else row[name]
                for name in column
            }
            column.sort(key=weight.__getitem__)
            row.update({name: _centred_row(index, column) for index, name in enumerate(column)})
    return columns


def _centred_row(index: int, column: list[str]) -> float:
    return index - (len(column) - 1) / 2


def _summary(view: GraphView) -> str:
    needs = view.needs()
    parts = [
        format_count(len(view.graph.agents), "agent"),
        format_count(len(needs), "need"),
        f"{len(view.redundant)} of them redundant",
        format_count(len(view.edges) - len(needs), "want"),
        format_count(len(view.cycles), "cycle"),
        f"longest chain {format_count(len(view.longest_chain), 'agent')}",
    ]
    return " · ".join(parts)


def _machine_colours(view: GraphView) -> dict[str | None, str]:
    machines = dict.fromkeys(spec.machine for spec in view.fleet.agents.values())
    return {machine: _COLOURS[index % len(_COLOURS)] for index, machine in enumerate(machines)}


def _legend(colours: dict[str | None, str]) -> str:
    machines = "".join(
        f'<span><i style="background:{colour}"></i>{escape(machine or "this host")}</span>'
        for machine, colour in colours.items()
    )
    kinds = {"need": "needs", "redundant": "a need that others imply", "want": "wants", "cycle": "in a cycle"}
    lines = "".join(
        f'<span><svg width="26" height="8"><path class="edge {kind}" d="M1 4H25"/></svg>{text}</span>'
        for kind, text in kinds.items()
    )
    return machines + lines


def _graph_svg(view: GraphView, boxes: dict[str, GraphBox], colours: dict[str | None, str]) -> str:
    width = max(box.x + box.width for box in boxes.values()) + _MARGIN
    height = max(box.y for box in boxes.values()) + _BOX_HEIGHT + _MARGIN
    heads = {index: boxes[level[0]] for index, level in enumerate(view.levels)}
    parts = [
        f'<text class="head" x="{box.x:.0f}" y="{_MARGIN + 8}">level {level}</text>'
        for level, box in heads.items()
    ]
    # What is drawn later lies above: the weakest edges first, the boxes last.
    ranked = sorted(view.edges, key=lambda edge: _RANK[_edge_class(view, edge)])
    parts += [_edge_path(view, edge, boxes) for edge in ranked]
    parts += [_node_svg(view, name, box, colours) for name, box in boxes.items()]
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg id="graph" {size} role="img" aria-label="graph of needs">' + "\n".join(parts) + "</svg>"


_RANK = {"redundant": 0, "want": 1, "need": 2, "cycle": 3}


def _edge_class(view: GraphView, edge: GraphEdge) -> str:
    if edge.kind == "wants":
        return "want"
    if view.is_in_cycle(edge):
        return "cycle"
    return "redundant" if view.is_redundant(edge) else "need"


def _edge_path(view: GraphView, edge: GraphEdge, boxes: dict[str, GraphBox]) -> str:
    """Return a curve from the left of who needs to the right of what is needed; within a level, around."""
    source, target = boxes[edge.source], boxes[edge.target]
    y1, y2 = source.y + _BOX_HEIGHT / 2, target.y + _BOX_HEIGHT / 2
    if target.x < source.x:
        x1, x2 = source.x, target.x + target.width
        bend = max(30.0, (x1 - x2) / 2)
        curve = f"M{x1:.0f} {y1:.0f}C{x1 - bend:.0f} {y1:.0f} {x2 + bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    else:
        x1, x2 = source.x + source.width, target.x + (target.width if target.x == source.x else 0)
        bend = 40.0 if target.x == source.x else -40.0
        curve = f"M{x1:.0f} {y1:.0f}C{x1 + 40:.0f} {y1:.0f} {x2 + bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    title = escape(f"{edge.source} {edge.kind} {edge.target} ({edge.where})")
    ends = f'data-from="{escape(edge.source)}" data-to="{escape(edge.target)}"'
    return f'<path class="edge {_edge_class(view, edge)}" {ends} d="{curve}"><title>{title}</title></path>'


def _node_svg(view: GraphView, name: str, box: GraphBox, colours: dict[str | None, str]) -> str:
    spec = view.fleet.agents[name]
    dependents = len(view.graph.with_dependents([name])) - 1
    facts = [
        name,
        f"machine {spec.machine}" if spec.machine else "",
        f"group {spec.group}" if spec.group else "",
    ]
    facts += [f"port {spec.port}" if spec.port else "", f"{format_count(dependents, 'agent')} rest on it"]
    title = escape("\n".join(fact for fact in facts if fact))
    text = f'<text x="{box.x + 8:.0f}" y="{box.y + 15:.0f}">{escape(name)}</text>'
    rect = (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{_BOX_HEIGHT}" rx="4" '
        f'fill="{colours[spec.machine]}"/>'
    )
    return f'<g class="node" data-name="{escape(name)}" tabindex="0"><title>{title}</title>{rect}{text}</g>'
