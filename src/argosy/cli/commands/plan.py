"""Predict the start from the durations of earlier starts, and show what each need costs; starts nothing.

The estimate for an agent is the median of its last starts; for one that was never measured the median
of the others, or 1 s without any. `--simulate` limits concurrent starts to what the processors admit;
without it every agent starts as soon as its needs are ready.

example: argosy plan --simulate

"""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from argosy.cli.arguments import add_fleet, add_options, parse_fleet
from argosy.cli.console import print_result
from argosy.cli.render.graph_view import (
    GraphView,
    critical_path_json,
    edge_cost_json,
    edge_cost_lines,
    view_graph,
)
from argosy.engine.explain.restart_impact import simulate_start, start_slots
from argosy.engine.explain.timing_history import DurationEstimate, estimate_starts, load_timing_history
from argosy.engine.fork.spawn_report import SpawnReport, read_spawn_report
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import Fault, InputError
from argosy.fleet.dependency_graph import CriticalStep, critical_path
from argosy.fleet.loader import load_fleet
from argosy.fleet.quantities import format_count
from argosy.fleet.schedule import EdgeCost, compute_edge_costs, compute_ready_times, find_implying_chain
from argosy.refit.analysis.source_edges import find_source_edges

_MAX_SHOWN = 10
_WIDTH = 100


class StartForecast(NamedTuple):
    """A predicted start. spawn_report: how the last start created the processes.

    steps: each agent's start and readiness, limited only by needs. unused_needs: needs without a trace in
    the sources, the costliest first. max_concurrent: the limit of concurrent starts in `simulated`, None
    without a simulation.
    """

    view: GraphView
    start_estimates: dict[str, DurationEstimate]
    spawn_report: SpawnReport
    steps: dict[str, CriticalStep]
    path: tuple[CriticalStep, ...]
    costs: tuple[EdgeCost, ...]
    unused_needs: tuple[EdgeCost, ...]
    max_concurrent: int | None
    simulated: dict[str, CriticalStep]

    @property
    def seconds(self) -> float:
        """When the last agent is ready, in seconds from the start."""
        return max(step.ready_s for step in (self.simulated or self.steps).values())

    def where(self, agent: str, need: str) -> str:
        """Return the location of a need in the fleet file."""
        edges = self.view.needs()
        return next(edge.where for edge in edges if (edge.source, edge.target) == (agent, need))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy plan`."""
    add_fleet(parser)
    options = {
        "--simulate": "simulate the start with this machine's processors",
        "--machines N": "simulate the start with the processors of N such machines",
    }
    add_options(parser, options)


def run(args: argparse.Namespace) -> int:
    """Print the plan.

    Raises InputError: the file is invalid, or N is not a positive number.
    """
    path, _ = parse_fleet(args)
    machines = _machine_count(args.machines)
    view = view_graph(load_fleet(path))
    entries = list(read_event_log(locate_state_dir(path).event_log))
    start_estimates = estimate_starts(view.graph.agents, load_timing_history(entries))
    simulated_machines = machines if args.simulate or args.machines else 0
    forecast = _make_forecast(view, start_estimates, read_spawn_report(entries), simulated_machines)
    print_result(lambda: plan_json(forecast), lambda: _plan_text(forecast), as_json=args.as_json)
    return 0


def _plan_text(forecast: StartForecast) -> str:
    sections = (
        *(_heading, _level_lines, _critical_path_lines, _cost_lines),
        *(_redundant_need_lines, _unused_need_lines, _spawn_lines),
    )
    return "\n\n".join("\n".join(lines(forecast)) for lines in sections)


def _machine_count(option: str | None) -> int:
    if option is None:
        return 1
    if not option.isdecimal() or int(option) < 1:
        message = f"expected a number of machines from 1 on, found `{option}`"
        raise InputError(Fault("--machines", "usage", message))
    return int(option)


def _make_forecast(
    view: GraphView, start_estimates: dict[str, DurationEstimate], spawn_report: SpawnReport, machines: int
) -> StartForecast:
    graph = view.graph
    start_s = {name: estimate.seconds for name, estimate in start_estimates.items()}
    ready = compute_ready_times(graph, start_s)
    costs = compute_edge_costs(graph, start_s)
    in_sources = find_source_edges(view.fleet, os.environ)
    max_concurrent = (view.fleet.max_starting or start_slots(machines)) if machines else None
    return StartForecast(
        view=view,
        start_estimates=start_estimates,
        spawn_report=spawn_report,
        steps={name: CriticalStep(name, ready[name] - start_s[name], ready[name]) for name in graph.agents},
        path=critical_path(graph, ready),
        costs=costs,
        unused_needs=tuple(cost for cost in costs if in_sources.is_untraced((cost.agent, cost.need))),
        max_concurrent=max_concurrent,
        simulated=simulate_start(graph, start_s, max_concurrent) if max_concurrent else {},
    )


def _heading(forecast: StartForecast) -> list[str]:
    count = len(forecast.start_estimates)
    measured = sum(estimate.sample_count > 0 for estimate in forecast.start_estimates.values())
    needs_s = max(step.ready_s for step in forecast.steps.values())
    agents = format_count(count, "agent")
    lines = [f"{forecast.view.fleet.name}: {agents} ready in {needs_s:.3f} s, limited by needs alone"]
    if forecast.simulated:
        lines.append(f"  {forecast.seconds:.3f} s with {forecast.max_concurrent} concurrent starts")
    others = {estimate.seconds for estimate in forecast.start_estimates.values() if not estimate.sample_count}
    lines.append(f"  {measured} of {count} measured in earlier starts")
    if others:
        lines[-1] += f", the others estimated at {others.pop():.3f} s each"
    return lines


def _level_lines(forecast: StartForecast) -> list[str]:
    steps = forecast.simulated or forecast.steps
    lines = []
    for index, level in enumerate(forecast.view.levels):
        last = max(level, key=lambda name: steps[name].ready_s)
        lead = f"level {index:<3} {len(level):>3}  ready by {steps[last].ready_s:7.3f} s  "
        lines.append(f"{lead}{last} last, which takes {forecast.start_estimates[last].seconds:.3f} s")
    return lines


def _critical_path_lines(forecast: StartForecast) -> list[str]:
    lines = [f"critical path, {forecast.path[-1].ready_s:.3f} s"]
    for step in forecast.path:
        estimate = forecast.start_estimates[step.agent]
        how = f"median of {estimate.sample_count}" if estimate.sample_count else "not measured"
        lines.append(f"  {step.ready_s:7.3f} s  {step.agent}  (takes {estimate.seconds:.3f} s, {how})")
    return lines


def _cost_lines(forecast: StartForecast) -> list[str]:
    lines = edge_cost_lines(forecast.costs, _MAX_SHOWN, lambda cost: forecast.where(cost.agent, cost.need))
    if not lines:
        return ["no single need delays the fleet"]
    return ["needs that delay the fleet, each counted alone", *lines]


def _redundant_need_lines(forecast: StartForecast) -> list[str]:
    """Return the needs that can be removed without a change of order, each with its proof."""
    redundant = [edge for edge in forecast.view.edges if forecast.view.is_redundant(edge)]
    if not redundant:
        return ["redundant needs: none is implied by the others"]
    lines = [f"redundant needs: {len(redundant)} of {len(forecast.view.needs())} are implied by the others"]
    for edge in redundant:
        proof = find_implying_chain(forecast.view.graph, edge.source, edge.target)
        text = f"{edge.source} needs {edge.target}  {edge.where}: {' -> '.join(proof)}"
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False
        )
    return lines


def _unused_need_lines(forecast: StartForecast) -> list[str]:
    """Return the needs without a trace in the files that the agent loads."""
    if not forecast.unused_needs:
        return ["needs that the code does not use: none"]
    lines = [f"needs that the code does not use: {len(forecast.unused_needs)}, the costliest first"]
    return lines + [
        f"  {cost.fleet_s:7.3f} s  {cost.agent} needs {cost.need}  {forecast.where(cost.agent, cost.need)}"
        for cost in forecast.unused_needs
    ]


def _spawn_lines(forecast: StartForecast) -> list[str]:
    """Return what the zygotes of the last start had loaded, and the agents not forked from one."""
    spawn_report = forecast.spawn_report
    if not spawn_report.zygotes and not spawn_report.exec_reasons:
        return ["zygotes: unknown before the first start"]
    lines = [f"  loaded {description}" for description in spawn_report.zygotes]
    return ["zygotes of the last start", *lines] + [
        f"  spawned  {name}: {why}" for name, why in spawn_report.exec_reasons.items()
    ]


def plan_json(forecast: StartForecast) -> dict[str, object]:
    """Return the object `plan/1`; times are seconds from the start of the fleet."""
    steps = forecast.simulated or forecast.steps
    level_of = {name: index for index, level in enumerate(forecast.view.levels) for name in level}
    return {
        "argosy": "plan/1",
        "fleet": forecast.view.fleet.name,
        "agents": {
            name: {
                "level": level_of[name],
                "takes": round(estimate.seconds, 4),
                "measured": estimate.sample_count,
                "started": round(steps[name].started_s, 4),
                "ready": round(steps[name].ready_s, 4),
            }
            for name, estimate in forecast.start_estimates.items()
        },
        "seconds": round(forecast.seconds, 4),
        "starts_at_once": forecast.max_concurrent,
        "levels": [list(level) for level in forecast.view.levels],
        "critical_path": critical_path_json(forecast.path),
        "critical_path_seconds": round(forecast.path[-1].ready_s, 4),
        "edges": [
            {**edge_cost_json(cost), "where": forecast.where(cost.agent, cost.need)}
            for cost in forecast.costs
        ],
        "zygotes": list(forecast.spawn_report.zygotes),
        "spawned": forecast.spawn_report.exec_reasons,
        "cuts": [*_redundant_needs_json(forecast), *_unused_needs_json(forecast)],
    }


def _redundant_needs_json(forecast: StartForecast) -> Iterator[dict[str, object]]:
    for edge in forecast.view.edges:
        if forecast.view.is_redundant(edge):
            proof = list(find_implying_chain(forecast.view.graph, edge.source, edge.target))
            ends = {"from": edge.source, "to": edge.target, "where": edge.where}
            yield {**ends, "why": "redundant", "proof": proof, "fleet_seconds": 0.0}


def _unused_needs_json(forecast: StartForecast) -> Iterator[dict[str, object]]:
    for cost in forecast.unused_needs:
        ends = {"from": cost.agent, "to": cost.need, "where": forecast.where(cost.agent, cost.need)}
        yield {**ends, "why": "unused", "proof": [], "fleet_seconds": round(cost.fleet_s, 4)}
