"""What must hold in a cell: its agents can share a process, and cells do not restart each other for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from argosy.fleet.spec import AgentSpec, Need

# What a process has once, by the field of an agent: the key a person writes.
_SHARED: Final = {
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
_FITTING_PROBES: Final = frozenset({"notify", "zmq", "http", "tcp"})


class Discord(NamedTuple):
    """An agent that cannot be in its cell. key: of the fleet file, where a person would change it."""

    agent: str
    key: str
    message: str
    hint: str


class Feud(NamedTuple):
    """A need of an agent that closes a circle of cells which restart each other."""

    agent: str
    need: str
    message: str
    hint: str


def find_discords(agents: Iterable[AgentSpec]) -> Iterator[Discord]:
    """Yield what keeps agents from sharing a process, each with the first agent of its cell."""
    first_of: dict[str, AgentSpec] = {}
    for agent in agents:
        if agent.cell is None:
            continue
        yield from _unfit(agent, agent.cell)
        first = first_of.setdefault(agent.cell, agent)
        told: set[str] = set()
        for field, key in _SHARED.items():
            mine, theirs = getattr(agent, field), getattr(first, field)
            if mine != theirs and key not in told:
                told.add(key)
                values = "" if key == "env" else f" is `{mine}` and not `{theirs}`"
                yield Discord(
                    agent.name,
                    key,
                    f"`{agent.name}` shares cell `{agent.cell}` with `{first.name}`, but its `{key}`"
                    + (values or f" differs in {_differing(agent.env, first.env)}"),
                    f"a cell is one process: give both one `{key}`, or `{agent.name}` another cell",
                )


def _unfit(agent: AgentSpec, cell: str) -> Iterator[Discord]:
    if agent.kind != "class" and agent.run:
        yield Discord(
            agent.name,
            "cell",
            f"`{agent.name}` is in cell `{cell}` but its `run` is a {agent.kind}",
            "only `module:Class` agents share a process: " + _as_class(agent),
        )
    elif agent.ready.probe not in _FITTING_PROBES:
        yield Discord(
            agent.name,
            "ready",
            f"`{agent.name}` is in cell `{cell}`, and the probe `{agent.ready.probe}` is of a whole process",
            "take `ready` out (the agent says itself when it is ready), or use zmq, http or tcp",
        )


def _as_class(agent: AgentSpec) -> str:
    if agent.kind == "script":
        module = str(agent.run).removesuffix(".py").replace("/", ".")
        return f"name its class, such as `run: {module}:{agent.name}`"
    return "take `cell` out"


def _differing(one: dict[str, str], other: dict[str, str]) -> str:
    # Names alone: a value may be a secret.
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return ", ".join(f"`{name}`" for name in names)


def find_feuds(agents: Iterable[AgentSpec]) -> Iterator[Feud]:
    """Yield the needs by which cells would restart each other without end.

    The start needs no such check: agents start one by one within their cells, so two cells may need
    each other's agents. But a cell restarts as one; where a need asks to restart (or stop) with what it
    needs, the death of one process of a circle would bring down the next, and so come back to it.
    """
    known = {agent.name: agent for agent in agents}
    edges = [
        (agent, need)
        for agent in known.values()
        for need in agent.needs
        if need.on_death in ("restart", "stop") and need.agent in known
    ]
    after: dict[str, set[str]] = {}
    for agent, need in edges:
        ours, theirs = _process(agent), _process(known[need.agent])
        if ours != theirs and theirs in _reached(after, ours):
            yield _feud(agent, need, known)
        elif ours != theirs:
            after.setdefault(theirs, set()).add(ours)


def _process(agent: AgentSpec) -> str:
    return f"cell `{agent.cell}`" if agent.cell is not None else f"`{agent.name}`"


def _reached(after: dict[str, set[str]], start: str) -> set[str]:
    """Return the processes that fall with `start`."""
    found: set[str] = set()
    stack = [start]
    while stack:
        for each in after.get(stack.pop(), ()):
            if each not in found:
                found.add(each)
                stack.append(each)
    return found


def _feud(agent: AgentSpec, need: Need, known: dict[str, AgentSpec]) -> Feud:
    ours, theirs = _process(agent), _process(known[need.agent])
    return Feud(
        agent.name,
        need.agent,
        f"{ours} and {theirs} would restart each other for ever: `{agent.name}` is to {need.on_death} with "
        f"`{need.agent}`, and something in {theirs} with something in {ours}",
        f"give this need `on_death: wait` or `degrade`, or put `{agent.name}` and `{need.agent}` in one cell",
    )
