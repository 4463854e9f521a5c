"""Show the graph of a fleet: levels, machines, cycles, redundant needs and the longest chain.

An arrow goes from an agent to what it needs. With a cycle the graph is shown all the same, the
cycle is told, and the exit code is 1; any other fault of the file is told in place of the graph.

example: argosy graph --format html > graph.html
"""

from __future__ import annotations

import argparse
import sys

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.graph_page import render_page
from argosy.cli.graph_text import render_dot, render_mermaid, render_text
from argosy.cli.graph_view import graph_object, view_graph
from argosy.cli.report import print_json, report_error
from argosy.fault import InputError, RefusedError
from argosy.fleet.load import read_fleet

_RENDERERS = {"text": render_text, "mermaid": render_mermaid, "dot": render_dot, "html": render_page}
_CYCLE_CODES = frozenset({"cycle", "self-edge"})


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


def run(args: argparse.Namespace) -> int:
    """Print the graph; return 1 when it has a cycle.

    Raises InputError: the file has faults other than cycles.
    """
    path, _ = take_fleet(args)
    fleet, faults = read_fleet(path)
    if fleet is None or any(fault.code not in _CYCLE_CODES for fault in faults):
        raise InputError(*faults)
    view = view_graph(fleet)
    as_json = args.as_json or args.format == "json"
    if as_json:
        print_json(graph_object(view))
    else:
        sys.stdout.write(_RENDERERS[args.format](view))
        sys.stdout.flush()
    if not faults:
        return 0
    return 1 if as_json else report_error(RefusedError(*faults), as_json=False)
