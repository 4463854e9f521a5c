"""Checks of cells: their agents can share a process, and cells do not restart each other in a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from argosy.fleet.dependency_graph import reachable_from
from argosy.fleet.quantities import format_names

if TYPE_CHECKING:
    from argosy.fleet.fleet_spec import AgentSpec, Need

# Properties of a whole process: field of `AgentSpec` to the key in the fleet file.
_PROCESS_WIDE_FIELDS: Final = {
    "machine": "machine",
    "python": "python",
    "cwd": "cwd",
    "env": "env",
    "env_file": "env_file",
    "start": "start",
    "memory_bytes": "memory",
    "cpus": "cpus",
    "open_files": "open_files",
    "restart": "restart",
    "restart_times": "restart_limit",
    "restart_within_s": "restart_limit",
    "backoff_first_s": "backoff",
    "backoff_most_s": "backoff",
}
_PER_AGENT_PROBES: Final = frozenset({"notify", "zmq", "http", "tcp"})


class CellFault(NamedTuple):
    """A fault of an agent in a cell. key: the key in the fleet file to change, or the needed agent."""

    agent: str
    key: str
    message: str
    hint: str


def find_cell_conflicts(agents: Iterable[AgentSpec]) -> Iterator[CellFault]:
    """Yield the conflicts that keep an agent from sharing a process with the first agent of its cell."""
    first_of: dict[str, AgentSpec] = {}
    for agent in agents:
        if agent.cell is None:
            continue
        yield from _check_member(agent, agent.cell)
        first = first_of.setdefault(agent.cell, agent)
        reported: set[str] = set()
        for field, key in _PROCESS_WIDE_FIELDS.items():
            mine, theirs = getattr(agent, field), getattr(first, field)
            if mine != theirs and key not in reported:
                reported.add(key)
                found = f"is `{mine}` and not `{theirs}`"
                if key == "env":  # only names: a value may be a secret
                    found = f"differs in {format_names(sorted(dict(mine.items() ^ theirs.items())))}"
                message = (
                    f"`{agent.name}` shares cell `{agent.cell}` with `{first.name}`, but its `{key}` {found}"
                )
                hint = f"a cell is one process: give both one `{key}`, or `{agent.name}` another cell"
                yield CellFault(agent.name, key, message, hint)


def _check_member(agent: AgentSpec, cell: str) -> Iterator[CellFault]:
    if agent.kind != "class" and agent.run:
        message = f"`{agent.name}` is in cell `{cell}`, but its `run` is a {agent.kind}"
        hint = "only `module:Class` agents can share a process: " + _class_hint(agent)
        yield CellFault(agent.name, "cell", message, hint)
    elif agent.ready.probe not in _PER_AGENT_PROBES:
        found = f"the probe `{agent.ready.probe}` checks a whole process"
        hint = "remove `ready` (the agent reports its own readiness), or use zmq, http or tcp"
        yield CellFault(agent.name, "ready", f"`{agent.name}` is in cell `{cell}`, and {found}", hint)


def _class_hint(agent: AgentSpec) -> str:
    if agent.kind == "script":
        module = str(agent.run).removesuffix(".py").replace("/", ".")
        return f"name its class, such as `run: {module}:{agent.name}`"
    return "remove `cell`"


def find_restart_loops(agents: Iterable[AgentSpec]) -> Iterator[CellFault]:
    """Yield the needs through which cells would restart each other endlessly.

    Starting needs no such check: the agents of a cell start one by one, so two cells may need each
    other's agents. But a cell restarts as a whole: where needs restart (or stop) an agent together with
    the agent it needs, the exit of one process in a cycle would take down the next, until it comes back
    to the first.
    """
    known = {agent.name: agent for agent in agents}
    edges = [
        (agent, need)
        for agent in known.values()
        for need in agent.needs
        if need.on_death in ("restart", "stop") and need.agent in known
    ]
    restarts_after: dict[str, set[str]] = {}
    for agent, need in edges:
        ours, theirs = _process_label(agent), _process_label(known[need.agent])
        if ours != theirs and theirs in reachable_from([ours], restarts_after):
            yield _restart_loop(agent, need, known)
        elif ours != theirs:
            restarts_after.setdefault(theirs, set()).add(ours)


def _process_label(agent: AgentSpec) -> str:
    return f"cell `{agent.cell}`" if agent.cell is not None else f"`{agent.name}`"


def _restart_loop(agent: AgentSpec, need: Need, known: dict[str, AgentSpec]) -> CellFault:
    ours, theirs = _process_label(agent), _process_label(known[need.agent])
    return CellFault(
        agent.name,
        need.agent,
        f"{ours} and {theirs} would restart each other endlessly: `{agent.name}` has `on_death: "
        f"{need.on_death}` for `{need.agent}`, and an agent in {theirs} has one for an agent in {ours}",
        f"give this need `on_death: wait` or `degrade`, or put `{agent.name}` and `{need.agent}` in one cell",
    )
