"""Checks of cells: their agents can share a process, and cells do not restart each other in a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


class CellConflict(NamedTuple):
    """An agent that cannot be in its cell. key: the key in the fleet file to change."""

    agent: str
    key: str
    message: str
    hint: str


class RestartLoop(NamedTuple):
    """A need that completes a cycle of cells which restart each other."""

    agent: str
    need: str
    message: str
    hint: str


def find_cell_conflicts(agents: Iterable[AgentSpec]) -> Iterator[CellConflict]:
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
                values = "" if key == "env" else f" is `{mine}` and not `{theirs}`"
                yield CellConflict(
                    agent.name,
                    key,
                    f"`{agent.name}` shares cell `{agent.cell}` with `{first.name}`, but its `{key}`"
                    + (values or f" differs in {_differing_names(agent.env, first.env)}"),
                    f"a cell is one process: give both one `{key}`, or `{agent.name}` another cell",
                )


def _check_member(agent: AgentSpec, cell: str) -> Iterator[CellConflict]:
    if agent.kind != "class" and agent.run:
        yield CellConflict(
            agent.name,
            "cell",
            f"`{agent.name}` is in cell `{cell}`, but its `run` is a {agent.kind}",
            "only `module:Class` agents can share a process: " + _class_hint(agent),
        )
    elif agent.ready.probe not in _PER_AGENT_PROBES:
        yield CellConflict(
            agent.name,
            "ready",
            f"`{agent.name}` is in cell `{cell}`, and the probe `{agent.ready.probe}` checks a whole process",
            "remove `ready` (the agent reports its own readiness), or use zmq, http or tcp",
        )


def _class_hint(agent: AgentSpec) -> str:
    if agent.kind == "script":
        module = str(agent.run).removesuffix(".py").replace("/", ".")
        return f"name its class, such as `run: {module}:{agent.name}`"
    return "remove `cell`"


def _differing_names(one: dict[str, str], other: dict[str, str]) -> str:
    # Only names: a value may be a secret.
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return ", ".join(f"`{name}`" for name in names)


def find_restart_loops(agents: Iterable[AgentSpec]) -> Iterator[RestartLoop]:
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
        if ours != theirs and theirs in _reachable_from(restarts_after, ours):
            yield _restart_loop(agent, need, known)
        elif ours != theirs:
            restarts_after.setdefault(theirs, set()).add(ours)


def _process_label(agent: AgentSpec) -> str:
    return f"cell `{agent.cell}`" if agent.cell is not None else f"`{agent.name}`"


def _reachable_from(restarts_after: dict[str, set[str]], start: str) -> set[str]:
    """Return the processes that are restarted or stopped after `start`."""
    found: set[str] = set()
    stack = [start]
    while stack:
        for each in restarts_after.get(stack.pop(), ()):
            if each not in found:
                found.add(each)
                stack.append(each)
    return found


def _restart_loop(agent: AgentSpec, need: Need, known: dict[str, AgentSpec]) -> RestartLoop:
    ours, theirs = _process_label(agent), _process_label(known[need.agent])
    return RestartLoop(
        agent.name,
        need.agent,
        f"{ours} and {theirs} would restart each other endlessly: `{agent.name}` has `on_death: "
        f"{need.on_death}` for `{need.agent}`, and an agent in {theirs} has one for an agent in {ours}",
        f"give this need `on_death: wait` or `degrade`, or put `{agent.name}` and `{need.agent}` in one cell",
    )
