"""Writes a plan down as a fleet file, with a comment on everything that had to be decided."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby

from argosy.fleet.addition import WATCHDOG
from argosy.fleet.importers.found import Decision, Plan, PlannedAgent
from argosy.fleet.units import written_duration
from argosy.fleet.yamltext import scalar

_WIDTH = 106
# Without a port to ask, a plain script counts as ready when it has lived this long.
_ALIVE_S = 1.0


def emit(plan: Plan) -> str:
    """Return the text of the fleet file; the same plan always gives the same text."""
    lines = [*_head(plan), *_top(plan), "agents:" if plan.agents else "agents: {}"]
    told: dict[str, list[Decision]] = {}
    for decision in plan.decisions:
        told.setdefault(decision.agent, []).append(decision)
    places = groupby(plan.agents, key=lambda agent: (agent.machine, agent.found.group))
    for (machine, group), agents in places:
        lines += ["", f"  # ---- {_plain(f'{machine} / {group}' if group else machine)} ----"]
        for agent in agents:
            lines += _agent(agent, told.get(agent.name, []))
    return "\n".join(lines) + "\n"


def _head(plan: Plan) -> Iterator[str]:
    yield from _comment(f"Written by `argosy import` from {', '.join(plan.sources)}.", "")
    yield from _comment(account(plan), "")
    general = [decision for decision in plan.decisions if not decision.agent]
    if general:
        yield "#"
        yield "# What had to be decided (what is about one agent stands above it):"
    for decision in general:
        yield from _decision(decision, "")
    yield ""


def account(plan: Plan) -> str:
    """Return one sentence whose figures add up: agents, machines, and what became of each edge."""
    needs = sum(len(agent.needs) for agent in plan.agents)
    wants = sum(len(agent.wants) for agent in plan.agents)
    left_out = plan.edges - needs - wants
    return (
        f"{_count(len(plan.agents), 'agent')} on {_count(len(plan.machines), 'machine')}; "
        f"{_count(plan.edges, 'edge')} found = {needs} needs + {wants} wants + {left_out} left out."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _top(plan: Plan) -> Iterator[str]:
    yield f"fleet: {scalar(plan.fleet)}"
    yield "machines:"
    yield from (f"  {scalar(machine)}: {{}}" for machine in plan.machines)
    yield "environments:"
    for name, addresses in plan.environments.items():
        yield f"  {name}: {scalar(addresses)}"
    if plan.cwd is not None or plan.env:
        yield "defaults:"
        if plan.cwd is not None:
            yield f"  cwd: {scalar(plan.cwd)}"
        yield from _variables(plan.env, "  ")


def _agent(agent: PlannedAgent, decisions: list[Decision]) -> Iterator[str]:
    for decision in decisions:
        yield from _decision(decision, "  ")
    yield f"  {scalar(agent.name)}:"
    found = agent.found
    yield f"    run: {scalar(found.run if isinstance(found.run, str) else list(found.run))}"
    if found.args:
        yield f"    args: {scalar(list(found.args))}"
    yield from _variables(found.env, "    ")
    for key, value in _settings(agent).items():
        if value is not None:
            yield f"    {key}: {scalar(value)}"


def _settings(agent: PlannedAgent) -> dict[str, object]:
    """Return the keys of an agent that take one line each, in the order of the documentation."""
    found = agent.found
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
        "ready": probe(agent),
        "liveness": {"watchdog": WATCHDOG} if found.is_of_library else None,
        "stop_timeout": None if found.stop_timeout_s is None else written_duration(found.stop_timeout_s),
        "restart": found.restart,
        "memory": found.memory,
        "cpus": found.cpus,
    }


def probe(agent: PlannedAgent) -> dict[str, object]:
    """Return how readiness is seen: zmq on the health port, else tcp on the port, else staying alive."""
    found = agent.found
    if found.health_port is not None:
        return {"probe": "zmq", "port": found.health_port, "send": {"action": "health"}}
    if found.port is not None:
        return {"probe": "tcp", "port": found.port}
    seconds = _ALIVE_S if found.alive_s is None else found.alive_s
    return {"probe": "alive", "seconds": int(seconds) if seconds.is_integer() else seconds}


def _variables(env: dict[str, str], indent: str) -> Iterator[str]:
    if env:
        yield f"{indent}env:"
        yield from (f"{indent}  {scalar(name)}: {scalar(value)}" for name, value in env.items())


def _decision(decision: Decision, indent: str) -> Iterator[str]:
    place = f"{decision.where}: " if decision.where else ""
    yield from _comment(f"{place}{decision.what}. {_sentence(decision.why)}", indent)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _comment(text: str, indent: str) -> Iterator[str]:
    room = _WIDTH - len(indent) - 2
    lines = textwrap.wrap(_plain(text), room, break_long_words=False, break_on_hyphens=False)
    for at, line in enumerate(lines):
        yield f"{indent}# {line}" if at == 0 else f"{indent}#   {line}"


def _plain(text: str) -> str:
    """Return `text` on one line and free of what may not stand in a YAML comment."""
    return re.sub(r"[^\x20-\x7e\u00a1-\ud7ff\ue000-\ufefe\uff00-\ufffd]+", " ", text)
