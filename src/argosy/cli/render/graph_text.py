"""Renders a fleet's graph as text: for a terminal, for Mermaid, for Graphviz."""

from __future__ import annotations

import textwrap
from collections import Counter

from argosy.cli.console import align_columns
from argosy.cli.render.graph_view import GraphEdge, GraphView
from argosy.fleet.quantities import format_count

_WIDTH = 100


def render_graph_text(view: GraphView) -> str:
    """Return levels, machines, cycles, redundant needs and the longest chain as text."""
    sections = [
        _heading(view),
        _level_lines(view),
        _machine_lines(view),
        _cycle_lines(view),
        _redundant_lines(view),
        _longest_chain_lines(view),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _heading(view: GraphView) -> list[str]:
    needs = len(view.needs())
    counts = [
        format_count(len(view.graph.agents), "agent"),
        format_count(needs, "need"),
        format_count(len(view.edges) - needs, "want"),
        format_count(len(view.levels), "level"),
    ]
    return [f"{view.fleet.name}: {', '.join(counts)}"]


def _level_lines(view: GraphView) -> list[str]:
    lines = []
    for index, level in enumerate(view.levels):
        lead = f"level {index:<3} {len(level):>3}  "
        lines += _wrap(", ".join(level), lead, " " * len(lead))
    return lines


def _machine_lines(view: GraphView) -> list[str]:
    machine_of = {spec.name: spec.machine for spec in view.fleet.agents.values()}
    counts = Counter(name for name in machine_of.values() if name is not None)
    if not counts:
        return []
    across = sum(machine_of[edge.source] != machine_of[edge.target] for edge in view.needs())
    rows = [(f"  {name}", format_count(count, "agent")) for name, count in counts.items()]
    return ["machines", *align_columns(rows), f"  {format_count(across, 'need')} from one machine to another"]


def _cycle_lines(view: GraphView) -> list[str]:
    if not view.cycles:
        return ["cycles: none"]
    return ["cycles", *(f"  {' -> '.join((*cycle, cycle[0]))}" for cycle in view.cycles)]


def _redundant_lines(view: GraphView) -> list[str]:
    edges = [edge for edge in view.edges if view.is_redundant(edge)]
    if not edges:
        return ["redundant needs: none"]
    head = f"redundant needs: {len(edges)} of {len(view.needs())} follow from the others"
    rows = [(f"  {edge.source} needs {edge.target}", edge.where) for edge in edges]
    return [head, *align_columns(rows)]


def _longest_chain_lines(view: GraphView) -> list[str]:
    lead = f"longest chain, {format_count(len(view.longest_chain), 'agent')}: "
    return _wrap(" -> ".join(view.longest_chain), lead, "  ")


def _wrap(text: str, lead: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def render_mermaid(view: GraphView) -> str:
    """Return a Mermaid flowchart: an arrow from each agent to what it needs, dotted for wants."""
    ids = {name: f"a{index}" for index, name in enumerate(view.graph.agents)}
    lines = ["flowchart LR"]
    for machine, names in _by_machine(view).items():
        indent = "  "
        if machine is not None:
            lines.append(f'  subgraph m_{_mermaid_id(machine)}["{machine}"]')
            indent = "    "
        lines += [f'{indent}{ids[name]}["{name}"]' for name in names]
        if machine is not None:
            lines.append("  end")
    arrows = {"needs": "-->", "wants": "-.->"}
    lines += [f"  {ids[edge.source]} {arrows[edge.kind]} {ids[edge.target]}" for edge in view.edges]
    lines += _mermaid_styles(view)
    return "\n".join(lines) + "\n"


def _mermaid_styles(view: GraphView) -> list[str]:
    """Return the styles of special edges; Mermaid numbers edges from 0 in their order."""
    styles = {"stroke:#bbb": view.is_redundant, "stroke:#c00,stroke-width:3px": view.is_in_cycle}
    lines = []
    for style, applies in styles.items():
        numbers = [str(index) for index, edge in enumerate(view.edges) if applies(edge)]
        if numbers:
            lines.append(f"  linkStyle {','.join(numbers)} {style}")
    return lines


def render_dot(view: GraphView) -> str:
    """Return a Graphviz digraph: an arrow from each agent to what it needs, dashed for wants."""
    lines = [f'digraph "{view.fleet.name}" {{', "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    for machine, names in _by_machine(view).items():
        nodes = " ".join(f'"{name}";' for name in names)
        if machine is None:
            lines.append(f"  {nodes}")
        else:
            lines.append(f'  subgraph "cluster_{machine}" {{ label="{machine}"; {nodes} }}')
    lines += [f'  "{edge.source}" -> "{edge.target}"{_dot_style(view, edge)};' for edge in view.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_style(view: GraphView, edge: GraphEdge) -> str:
    if edge.kind == "wants":
        return " [style=dashed, constraint=false]"
    if view.is_in_cycle(edge):
        return ' [color="#cc0000", penwidth=2]'
    return ' [color="#bbbbbb"]' if view.is_redundant(edge) else ""


def _by_machine(view: GraphView) -> dict[str | None, list[str]]:
    machines: dict[str | None, list[str]] = {}
    for spec in view.fleet.agents.values():
        machines.setdefault(spec.machine, []).append(spec.name)
    return machines


def _mermaid_id(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)
