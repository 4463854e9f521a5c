"""Reads a startup config: agents by name, agents in lists, or both in one file.

What its rows share with their file is read here: variables for all, ports named in passing, and
the parts that a fleet file has no place for.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.fleet.importers import groups, lists
from argosy.fleet.importers.found import Decision, NamedPort, Source
from argosy.fleet.importers.intake import Data, Intake, Steps, walk
from argosy.fleet.importers.leftover import tell_leftovers
from argosy.fleet.importers.row import TAKEN, Row, RowReader, as_port

_ENVIRONMENT = ("environment", "env")


def is_startup(intake: Intake) -> bool:
    """Return whether the file has agents by name or in lists."""
    return bool(groups.find_named(intake.data) or lists.find_listed(intake.data))


def read_startup(intake: Intake) -> Source:
    """Return the agents of the file, those by name before those in lists.

    Raises InputError: a command whose quotes do not match.
    """
    named, listed = groups.find_named(intake.data), lists.find_listed(intake.data)
    rows = [*named, *listed]
    reader = RowReader(intake)
    agents = tuple(reader.read(row) for row in rows)
    env_at = _environment(intake)
    env = None if env_at is None else _value(intake, env_at)
    return Source(
        path=intake.path,
        kind=" and ".join([*([groups.KIND] if named else []), *([lists.KIND] if listed else [])]),
        agents=agents,
        env={name: intake.written((*env_at, name)) for name in env}
        if env_at and isinstance(env, dict)
        else {},
        env_where="" if env_at is None else intake.where(env_at),
        named_ports=tuple(_named_ports(intake)),
        decisions=(
            *reader.decisions,
            *_strays(intake, rows),
            *tell_leftovers(intake, [(row.name, row.path, row.keys) for row in rows], TAKEN, _reason),
            *_unread(intake, rows, env_at),
        ),
    )


def _environment(intake: Intake) -> Steps | None:
    """Return where variables for every agent stand: at the top, or one level below it."""
    top = intake.mapping()
    ways: list[Steps] = [(key,) for key in _ENVIRONMENT]
    ways += [(key, inner) for key in top for inner in _ENVIRONMENT]
    for steps in ways:
        value = _value(intake, steps)
        if (
            isinstance(value, dict)
            and value
            and not any(isinstance(one, (dict, list)) for one in value.values())
        ):
            return steps
    return None


def _value(intake: Intake, steps: Steps) -> Data:
    value = intake.data
    for step in steps:
        if isinstance(value, dict):
            value = value.get(str(step))
        else:
            value = value[step] if isinstance(value, list) and isinstance(step, int) else None
    return value


def _named_ports(intake: Intake) -> Iterator[NamedPort]:
    """Yield every port under a key that ends in `_port`, but for the agents' own."""
    for steps, value in walk(intake.data):
        key = str(steps[-1]) if steps else ""
        port = as_port(value)
        if port is not None and key.endswith("_port") and key not in ("health_check_port", "health_port"):
            yield NamedPort(key, port, intake.where(steps))


def _strays(intake: Intake, rows: list[Row]) -> Iterator[Decision]:
    """Yield a decision for each neighbour of a row that is no row."""
    taken = {row.path for row in rows}
    for holder in dict.fromkeys(row.path[:-1] for row in rows):
        value = _value(intake, holder)
        pairs = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, item in pairs:
            if (*holder, key) not in taken and not _holds(taken, (*holder, key)) and holder:
                name = (item.get("name") if isinstance(item, dict) else None) or _label(key)
                missing = "a name and something to run" if isinstance(value, list) else "something to run"
                yield Decision(
                    intake.where((*holder, key)), f"`{name}` is left out", f"a row needs {missing}"
                )


def _label(key: str | int) -> str:
    return f"row {key + 1}" if isinstance(key, int) else key


def _holds(taken: set[Steps], steps: Steps) -> bool:
    return any(path[: len(steps)] == steps for path in taken)


def _reason(key: str) -> str:
    if "priority" in key:
        return "an order is not a dependency: write what an agent waits for under `needs`"
    return "a fleet file has no such key; scripts that read this file still find it there"


def _unread(intake: Intake, rows: list[Row], env_at: Steps | None) -> Iterator[Decision]:
    """Yield one decision that names the parts of the file which are about no agent."""
    holders = {row.path[0] for row in rows if row.path} | ({env_at[0]} if env_at else set())
    ways: list[Steps] = [(key,) for key in intake.mapping() if key not in holders]
    if env_at is not None and len(env_at) > 1:
        beside = _value(intake, env_at[:1])
        ways += [(env_at[0], key) for key in beside if key != env_at[1]] if isinstance(beside, dict) else []
    if ways:
        names = ", ".join("`" + ".".join(map(str, steps)) + "`" for steps in ways)
        yield Decision(
            intake.where(ways[0]),
            f"not taken over: {names}",
            "none of it says what to start; limits, time-outs and addresses can be written into this file",
        )
