"""Tell the start as it will go, from what earlier starts took, and what each need costs; starts nothing.

Each agent is taken for the median of its last starts. One that was never measured is taken for
the median of the others, without any for 1 s. `--simulate` plays the start through with as many
agents at once as the processors let in; without it every agent starts as soon as its needs are ready.

example: argosy plan --simulate
"""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.graph_view import GraphView, view_graph
from argosy.cli.report import print_json
from argosy.engine.diary import read_diary
from argosy.engine.folder import folder_of
from argosy.engine.past import Estimate, estimate_starts, read_past
from argosy.engine.rehearsal import rehearse, slots_here
from argosy.engine.ways import Ways, read_ways
from argosy.fault import Fault, InputError
from argosy.fleet.graph import Step, critical_path
from argosy.fleet.load import load_fleet
from argosy.fleet.schedule import EdgeCost, edge_costs, implied_by, ready_times
from argosy.fleet.units import counted
from argosy.refit.written import written_edges

_SHOWN = 10
_WIDTH = 100


class Forecast(NamedTuple):
    """A start before it is made. ways: how the last one made its agents.

    steps: each agent's start and readiness, as the needs alone allow.

    unused: needs of which the sources have no trace, the costliest first. slots: how many start at once
    in `simulated`, None where that was not asked for.
    """

    view: GraphView
    takes: dict[str, Estimate]
    ways: Ways
    steps: dict[str, Step]
    path: tuple[Step, ...]
    costs: tuple[EdgeCost, ...]
    unused: tuple[EdgeCost, ...]
    slots: int | None
    simulated: dict[str, Step]

    @property
    def seconds(self) -> float:
        """When the last agent is ready."""
        return max(step.ready_s for step in (self.simulated or self.steps).values())

    def where(self, agent: str, need: str) -> str:
        """Return where the file states a need."""
        edges = self.view.needs()
        return next(edge.where for edge in edges if (edge.source, edge.target) == (agent, need))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy plan`."""
    add_fleet(parser)
    parser.add_argument(
        "--simulate", action="store_true", help="play it through with this machine's processors"
    )
    parser.add_argument(
        "--machines", metavar="N", help="play it through with the processors of N such machines"
    )


def run(args: argparse.Namespace) -> int:
    """Print the plan.

    Raises InputError: the file is faulty, or N is no number of machines.
    """
    path, _ = take_fleet(args)
    machines = _machines(args.machines)
    view = view_graph(load_fleet(path))
    entries = list(read_diary(folder_of(path).diary))
    takes = estimate_starts(view.graph.agents, read_past(entries))
    forecast = _forecast(view, takes, read_ways(entries), machines if args.simulate or args.machines else 0)
    if args.as_json:
        print_json(plan_object(forecast))
    else:
        sections = [
            _heading(forecast),
            _levels(forecast),
            _path(forecast),
            _costs(forecast),
            _cuts(forecast),
            _unused(forecast),
            _ways(forecast.ways),
        ]
        print("\n\n".join("\n".join(lines) for lines in sections))
    return 0


def _machines(given: str | None) -> int:
    if given is None:
        return 1
    if not given.isdecimal() or int(given) < 1:
        raise InputError(
            Fault("--machines", "usage", f"expected a number of machines from 1 on, found `{given}`")
        )
    return int(given)


def _forecast(view: GraphView, takes: dict[str, Estimate], ways: Ways, machines: int) -> Forecast:
    graph = view.graph
    takes_s = {name: estimate.seconds for name, estimate in takes.items()}
    ready = ready_times(graph, takes_s)
    costs = edge_costs(graph, takes_s)
    written = written_edges(view.fleet, os.environ)
    slots = (view.fleet.max_starting or slots_here(machines)) if machines else None
    return Forecast(
        view=view,
        takes=takes,
        ways=ways,
        steps={name: Step(name, ready[name] - takes_s[name], ready[name]) for name in graph.agents},
        path=critical_path(graph, ready),
        costs=costs,
        unused=tuple(cost for cost in costs if written.has_no_trace_of((cost.agent, cost.need))),
        slots=slots,
        simulated=rehearse(graph, takes_s, slots) if slots else {},
    )


def _heading(forecast: Forecast) -> list[str]:
    count = len(forecast.takes)
    measured = sum(estimate.measured > 0 for estimate in forecast.takes.values())
    needs_s = max(step.ready_s for step in forecast.steps.values())
    lines = [
        f"{forecast.view.fleet.name}: {counted(count, 'agent')} ready in {needs_s:.3f} s as the needs allow"
    ]
    if forecast.simulated:
        lines.append(f"  {forecast.seconds:.3f} s with {forecast.slots} starts at once")
    others = {estimate.seconds for estimate in forecast.takes.values() if not estimate.measured}
    lines.append(f"  {measured} of {count} measured in earlier starts")
    if others:
        lines[-1] += f", the others taken for {others.pop():.3f} s each"
    return lines


def _levels(forecast: Forecast) -> list[str]:
    steps = forecast.simulated or forecast.steps
    lines = []
    for index, level in enumerate(forecast.view.levels):
        last = max(level, key=lambda name: steps[name].ready_s)
        lead = f"level {index:<3} {len(level):>3}  ready by {steps[last].ready_s:7.3f} s  "
        lines.append(f"{lead}{last} last, which takes {forecast.takes[last].seconds:.3f} s")
    return lines


def _path(forecast: Forecast) -> list[str]:
    lines = [f"critical path, {forecast.path[-1].ready_s:.3f} s"]
    for step in forecast.path:
        estimate = forecast.takes[step.agent]
        how = f"median of {estimate.measured}" if estimate.measured else "not measured"
        lines.append(f"  {step.ready_s:7.3f} s  {step.agent}  (takes {estimate.seconds:.3f} s, {how})")
    return lines


def _costs(forecast: Forecast) -> list[str]:
    costly = [cost for cost in forecast.costs if cost.fleet_s >= 0.0005]
    if not costly:
        return ["no single need makes the fleet later"]
    lines = ["needs that make the fleet later, each counted alone"]
    for cost in costly[:_SHOWN]:
        where = forecast.where(cost.agent, cost.need)
        lines.append(f"  {cost.fleet_s:7.3f} s  {cost.agent} needs {cost.need}  {where}")
    rest = len(costly) - _SHOWN
    return lines + ([f"  and {rest} more; `--json` has all"] if rest > 0 else [])


def _cuts(forecast: Forecast) -> list[str]:
    """Return the needs that can go without any change of order, each with its proof."""
    redundant = [edge for edge in forecast.view.edges if forecast.view.is_redundant(edge)]
    if not redundant:
        return ["needs to cut: none is implied by the others"]
    lines = [f"needs to cut: {len(redundant)} of {len(forecast.view.needs())} are implied by the others"]
    for edge in redundant:
        proof = implied_by(forecast.view.graph, edge.source, edge.target)
        told = f"{edge.source} needs {edge.target}  {edge.where}: {' -> '.join(proof)}"
        lines += textwrap.wrap(
            told, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False
        )
    return lines


def _unused(forecast: Forecast) -> list[str]:
    """Return the needs of which no file that the agent loads has a trace."""
    if not forecast.unused:
        return ["needs that the code does not use: none"]
    lines = [f"needs that the code does not use: {len(forecast.unused)}, the costliest first"]
    return lines + [
        f"  {cost.fleet_s:7.3f} s  {cost.agent} needs {cost.need}  {forecast.where(cost.agent, cost.need)}"
        for cost in forecast.unused
    ]


def _ways(ways: Ways) -> list[str]:
    """Return what the warm interpreters of the last start had loaded, and who was not forked from one."""
    if not ways.zygotes and not ways.spawned:
        return ["warm interpreters: not known before the first start"]
    lines = ["warm interpreters, as of the last start", *(f"  loaded {told}" for told in ways.zygotes)]
    return lines + [f"  spawned  {name}: {why}" for name, why in ways.spawned.items()]


def plan_object(forecast: Forecast) -> dict[str, object]:
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
                "measured": estimate.measured,
                "started": round(steps[name].started_s, 4),
                "ready": round(steps[name].ready_s, 4),
            }
            for name, estimate in forecast.takes.items()
        },
        "seconds": round(forecast.seconds, 4),
        "starts_at_once": forecast.slots,
        "levels": [list(level) for level in forecast.view.levels],
        "critical_path": [
            {"agent": step.agent, "started": round(step.started_s, 4), "ready": round(step.ready_s, 4)}
            for step in forecast.path
        ],
        "critical_path_seconds": round(forecast.path[-1].ready_s, 4),
        "edges": [
            {
                "from": cost.agent,
                "to": cost.need,
                "where": forecast.where(cost.agent, cost.need),
                "agent_seconds": round(cost.agent_s, 4),
                "fleet_seconds": round(cost.fleet_s, 4),
            }
            for cost in forecast.costs
        ],
        "zygotes": list(forecast.ways.zygotes),
        "spawned": forecast.ways.spawned,
        "cuts": [*_redundant_objects(forecast), *_unused_objects(forecast)],
    }


def _redundant_objects(forecast: Forecast) -> Iterator[dict[str, object]]:
    for edge in forecast.view.edges:
        if forecast.view.is_redundant(edge):
            proof = list(implied_by(forecast.view.graph, edge.source, edge.target))
            ends = {"from": edge.source, "to": edge.target, "where": edge.where}
            yield {**ends, "why": "redundant", "proof": proof, "fleet_seconds": 0.0}


def _unused_objects(forecast: Forecast) -> Iterator[dict[str, object]]:
    for cost in forecast.unused:
        ends = {"from": cost.agent, "to": cost.need, "where": forecast.where(cost.agent, cost.need)}
        yield {**ends, "why": "unused", "proof": [], "fleet_seconds": round(cost.fleet_s, 4)}
