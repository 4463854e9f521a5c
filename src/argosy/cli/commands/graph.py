"""Show the graph of a fleet: levels, machines, cycles, redundant needs and the longest chain.

An arrow points from an agent to what it needs. A graph with a cycle is shown too, with an error and exit
code 1; for any other fault of the file only the errors are shown.

`--code` and `--real` compare the declared edges with those found in the sources and with the
connections of the running processes: edges that are not declared, and edges that are declared and not
used.

example: argosy graph --format html > graph.html

"""

from __future__ import annotations

import argparse
import sys

from argosy.cli.arguments import add_fleet, add_options, parse_fleet
from argosy.cli.commands.edge_comparison import EdgeComparison, compare_edges, edges_json, edges_text
from argosy.cli.console import print_json, report_error
from argosy.cli.render.graph_page import render_graph_page
from argosy.cli.render.graph_text import render_dot, render_graph_text, render_mermaid
from argosy.cli.render.graph_view import GraphView, graph_json, view_graph
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.loader import read_fleet

_RENDERERS = {
    "text": render_graph_text,
    "mermaid": render_mermaid,
    "dot": render_dot,
    "html": render_graph_page,
}
_CYCLE_FAULT_CODES = frozenset({"cycle", "self-edge"})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy graph`."""
    add_fleet(parser)
    parser.add_argument(
        "--format",
        choices=[*_RENDERERS, "json"],
        default="text",
        metavar="FORM",
        help=f"{', '.join(_RENDERERS)} or json (default: text)",
    )
    options = {
        "--code": "compare with the edges found in the sources",
        "--real": "compare with the sockets of the running processes",
    }
    add_options(parser, options)


def run(args: argparse.Namespace) -> int:
    """Print the graph; returns 1 if it has a cycle.

    Raises InputError: the file has other faults. Raises RefusedError: `--real`, and the fleet does not run.
    """
    path, _ = parse_fleet(args)
    fleet, faults = read_fleet(path)
    if fleet is None or any(fault.code not in _CYCLE_FAULT_CODES for fault in faults):
        raise InputError(*faults)
    view = view_graph(fleet)
    as_json = args.as_json or args.format == "json"
    compared = _compare(view, args) if args.code or args.real else None
    if as_json:
        print_json({**graph_json(view), **(edges_json(compared) if compared else {})})
    else:
        sys.stdout.write(_RENDERERS[args.format](view) + (edges_text(compared) if compared else ""))
        sys.stdout.flush()
    if not faults:
        return 0
    return 1 if as_json else report_error(RefusedError(*faults), as_json=False)


def _compare(view: GraphView, args: argparse.Namespace) -> EdgeComparison:
    if not args.as_json and args.format not in ("text", "json"):
        message = f"`--code` and `--real` support text and json, found {args.format}"
        raise InputError(Fault("--format", "usage", message, "leave `--format` out"))
    return compare_edges(view, with_sources=args.code, with_processes=args.real)
