"""Show the last start: what each agent waited for and how long, and the critical path.

One bar for each agent, in the order in which they could start. `*` marks the critical path: the chain of
needs that decided when the fleet was ready. The cost of each need is listed below.

example: argosy timeline --html start.html
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from argosy.cli.arguments import add_fleet, parse_fleet
from argosy.cli.console import print_json, supports_colour
from argosy.cli.render.graph_view import critical_path_json, edge_cost_json
from argosy.cli.render.timeline_text import render_timeline_text
from argosy.engine.explain.start_timeline import StartPhase, StartTimeline, as_local_record, latest_start
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import Fault, RefusedError
from argosy.fleet.dependency_graph import graph_from_edges

_DEFAULT_WIDTH = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy timeline`."""
    add_fleet(parser)
    parser.add_argument("--html", metavar="FILE", help="write it as one self-contained HTML page")


def run(args: argparse.Namespace) -> int:
    """Show the last start; returns 0 whatever its outcome.

    Raises RefusedError: this fleet was never started, or FILE cannot be written.
    """
    path, _ = parse_fleet(args)
    state_dir = locate_state_dir(path)
    applied_plan = load_applied_plan(state_dir)
    timeline = None
    if applied_plan is not None:
        needs = {name: spec.need_names() for name, spec in applied_plan.plan.processes.items()}
        if applied_plan.peering is not None:
            needs |= {name: spec.need_names() for name, spec in applied_plan.peering.agents.items()}
        timeline = latest_start(
            map(as_local_record, read_event_log(state_dir.event_log)),
            graph_from_edges(needs),
            time.monotonic(),
        )
    if applied_plan is None or timeline is None:
        message = "no start of this fleet is recorded"
        raise RefusedError(Fault(str(path), "never-started", message, "`argosy up -d`"))
    if args.html:
        _write_page(Path(args.html), timeline, applied_plan.plan.fleet)
    if args.as_json:
        print_json(timeline_json(timeline, applied_plan.plan.fleet, applied_plan.plan.environment))
    elif not args.html:
        is_terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns if is_terminal else _DEFAULT_WIDTH
        is_rich = supports_colour(sys.stdout)
        sys.stdout.write(render_timeline_text(timeline, applied_plan.plan.fleet, width, is_rich=is_rich))
    return 0


def _write_page(path: Path, timeline: StartTimeline, fleet: str) -> None:
    from argosy.cli.render.timeline_page import render_timeline_page  # noqa: PLC0415 - rarely needed

    try:
        path.write_text(render_timeline_page(timeline, fleet), encoding="utf-8")
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror}"
        raise RefusedError(Fault("--html", "unwritable", message)) from error
    sys.stderr.write(f"written to {path}\n")


def timeline_json(timeline: StartTimeline, fleet: str, environment: str) -> dict[str, object]:
    """Return the object `timeline/1`; times are seconds from the start of the fleet."""
    return {
        "argosy": "timeline/1",
        "fleet": fleet,
        "environment": environment,
        "at": timeline.at_s,
        "seconds": round(timeline.seconds, 4),
        "is_over": timeline.is_complete,
        "agents": {
            bar.agent: {
                "ready": None if bar.ready_s is None else round(bar.ready_s, 4),
                "waited_for": bar.gating_need or None,
                "spent": {phase.value: round(bar.time_in(phase), 4) for phase in StartPhase},
                "stretches": [
                    [each.phase.value, round(each.from_s, 4), round(each.to_s, 4)] for each in bar.spans
                ],
                "starts": bar.start_count,
                "end": bar.outcome or None,
            }
            for bar in timeline.bars
        },
        "critical_path": critical_path_json(timeline.critical_path),
        "critical_path_seconds": round(timeline.critical_path_s, 4),
        "needs_alone_seconds": round(timeline.unlimited_seconds, 4),
        "edges": [edge_cost_json(cost) for cost in timeline.costs],
    }
