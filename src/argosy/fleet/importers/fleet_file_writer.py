"""Renders an import plan as a fleet file, with a comment for each decision."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby

from argosy.fleet.add_agent import DEFAULT_WATCHDOG
from argosy.fleet.importers.import_model import ImportDecision, ImportPlan, PlannedAgent
from argosy.fleet.quantities import format_count, format_duration
from argosy.fleet.yaml_emitter import dump_inline

_MAX_WIDTH = 106
# A script without a port counts as ready after running this long.
_DEFAULT_ALIVE_S = 1.0


def render_fleet_file(plan: ImportPlan) -> str:
    """Return the text of the fleet file; the same plan always gives the same text."""
    lines = [*_header_lines(plan), *_top_level_lines(plan), "agents:" if plan.agents else "agents: {}"]
    decisions_of: dict[str, list[ImportDecision]] = {}
    for decision in plan.decisions:
        decisions_of.setdefault(decision.agent, []).append(decision)
    sections = groupby(plan.agents, key=lambda agent: (agent.machine, agent.imported.group))
    for (machine, group), agents in sections:
        lines += ["", f"  # ---- {_sanitize(f'{machine} / {group}' if group else machine)} ----"]
        for agent in agents:
            lines += _agent_lines(agent, decisions_of.get(agent.name, []))
    return "\n".join(lines) + "\n"


def _header_lines(plan: ImportPlan) -> Iterator[str]:
    yield from _comment_lines(f"Written by `argosy import` from {', '.join(plan.sources)}.", "")
    yield from _comment_lines(summarize_plan(plan), "")
    general = [decision for decision in plan.decisions if not decision.agent]
    if general:
        yield "#"
        yield "# Decisions (those about one agent are above that agent):"
    for decision in general:
        yield from _decision_lines(decision, "")
    yield ""


def summarize_plan(plan: ImportPlan) -> str:
    """Return one sentence with the number of agents, machines and edges; the counts of edges add up."""
    needs = sum(len(agent.needs) for agent in plan.agents)
    wants = sum(len(agent.wants) for agent in plan.agents)
    left_out = plan.edge_count - needs - wants
    return (
        f"{format_count(len(plan.agents), 'agent')} on {format_count(len(plan.machines), 'machine')}; "
        f"{format_count(plan.edge_count, 'edge')} found = {needs} needs + {wants} wants + {left_out} omitted."
    )


def _top_level_lines(plan: ImportPlan) -> Iterator[str]:
    yield f"fleet: {dump_inline(plan.fleet)}"
    yield "machines:"
    yield from (f"  {dump_inline(machine)}: {{}}" for machine in plan.machines)
    yield "environments:"
    for name, addresses in plan.environments.items():
        yield f"  {name}: {dump_inline(addresses)}"
    if plan.cwd is not None or plan.env:
        yield "defaults:"
        if plan.cwd is not None:
            yield f"  cwd: {dump_inline(plan.cwd)}"
        yield from _env_lines(plan.env, "  ")


def _agent_lines(agent: PlannedAgent, decisions: list[ImportDecision]) -> Iterator[str]:
    for decision in decisions:
        yield from _decision_lines(decision, "  ")
    yield f"  {dump_inline(agent.name)}:"
    found = agent.imported
    yield f"    run: {dump_inline(found.run if isinstance(found.run, str) else list(found.run))}"
    if found.args:
        yield f"    args: {dump_inline(list(found.args))}"
    yield from _env_lines(found.env, "    ")
    for key, value in _agent_settings(agent).items():
        if value is not None:
            yield f"    {key}: {dump_inline(value)}"


def _agent_settings(agent: PlannedAgent) -> dict[str, object]:
    """Return the one-line keys of an agent, in the order of the documentation."""
    found = agent.imported
    return {
        "env_file": found.env_file,
        "cwd": found.cwd,
        "python": found.python,
        "machine": agent.machine,
        "group": found.group,
        "port": found.port,
        "health_port": found.health_port,
        "needs": list(agent.needs) or None,
        "wants": list(agent.wants) or None,
        "required": None if found.required else False,
        "ready": choose_probe(agent),
        "liveness": {"watchdog": DEFAULT_WATCHDOG} if found.is_library_agent else None,
        "stop_timeout": None if found.stop_timeout_s is None else format_duration(found.stop_timeout_s),
        "restart": found.restart,
        "memory": found.memory,
        "cpus": found.cpus,
    }


def choose_probe(agent: PlannedAgent) -> dict[str, object]:
    """Return the readiness probe: zmq on the health port, else tcp on the port, else alive."""
    found = agent.imported
    if found.health_port is not None:
        return {"probe": "zmq", "port": found.health_port, "send": {"action": "health"}}
    if found.port is not None:
        return {"probe": "tcp", "port": found.port}
    seconds = _DEFAULT_ALIVE_S if found.start_grace_s is None else found.start_grace_s
    return {"probe": "alive", "seconds": int(seconds) if seconds.is_integer() else seconds}


def _env_lines(env: dict[str, str], indent: str) -> Iterator[str]:
    if env:
        yield f"{indent}env:"
        yield from (f"{indent}  {dump_inline(name)}: {dump_inline(value)}" for name, value in env.items())


def _decision_lines(decision: ImportDecision, indent: str) -> Iterator[str]:
    prefix = f"{decision.where}: " if decision.where else ""
    why = decision.why[:1].upper() + decision.why[1:].removesuffix(".")
    yield from _comment_lines(f"{prefix}{decision.what}. {why}.", indent)


def _comment_lines(text: str, indent: str) -> Iterator[str]:
    width = _MAX_WIDTH - len(indent) - 2
    lines = textwrap.wrap(_sanitize(text), width, break_long_words=False, break_on_hyphens=False)
    for at, line in enumerate(lines):
        yield f"{indent}# {line}" if at == 0 else f"{indent}#   {line}"


def _sanitize(text: str) -> str:
    """Return `text` on one line, without characters that a YAML comment does not allow."""
    return re.sub(r"[^\x20-\x7e\u00a1-\ud7ff\ue000-\ufefe\uff00-\ufffd]+", " ", text)
