"""Reads a startup config: agents by name, agents in lists, or both in one file.

The rows are read by `agent_rows`; this module reads the rest of the file: common variables, other
ports, and unsupported sections.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.fleet.importers.agent_rows import (
    LISTED_AGENTS_FORMAT,
    NAMED_AGENTS_FORMAT,
    SUPPORTED_ROW_KEYS,
    AgentRow,
    AgentRowReader,
    find_listed_agents,
    find_named_agents,
    parse_port_value,
)
from argosy.fleet.importers.import_model import (
    ForeignPort,
    ImportDecision,
    ImportSource,
    unsupported_key_decisions,
)
from argosy.fleet.importers.input_file import InputFile, KeyPath, PlainData, walk_values

_ENVIRONMENT = ("environment", "env")


def is_startup_config(input_file: InputFile) -> bool:
    """Return whether the file has agents by name or in lists."""
    return bool(find_named_agents(input_file.data) or find_listed_agents(input_file.data))


def read_startup_config(input_file: InputFile) -> ImportSource:
    """Return the agents of the file: those by name, then those in lists.

    Raises InputError: a command whose quotes do not match.
    """
    named, listed = find_named_agents(input_file.data), find_listed_agents(input_file.data)
    rows = [*named, *listed]
    reader = AgentRowReader(input_file)
    agents = tuple(reader.read(row) for row in rows)
    env_at = _find_environment(input_file)
    env = None if env_at is None else _value_at(input_file, env_at)
    return ImportSource(
        path=input_file.path,
        kind=" and ".join(
            text for text, found in ((NAMED_AGENTS_FORMAT, named), (LISTED_AGENTS_FORMAT, listed)) if found
        ),
        agents=agents,
        env={name: input_file.scalar_text((*env_at, name)) for name in env}
        if env_at and isinstance(env, dict)
        else {},
        env_where="" if env_at is None else input_file.location_of(env_at),
        named_ports=tuple(_named_ports(input_file)),
        decisions=(
            *reader.decisions,
            *_incomplete_row_decisions(input_file, rows),
            *unsupported_key_decisions(
                input_file,
                [(row.name, row.path, row.keys) for row in rows],
                SUPPORTED_ROW_KEYS,
                _unsupported_reason,
            ),
            *_unread_section_decisions(input_file, rows, env_at),
        ),
    )


def _find_environment(input_file: InputFile) -> KeyPath | None:
    """Return the path of the variables for all agents: at the top level or one level below."""
    top = input_file.top_mapping()
    candidates: list[KeyPath] = [(key,) for key in _ENVIRONMENT]
    candidates += [(key, inner) for key in top for inner in _ENVIRONMENT]
    for key_path in candidates:
        value = _value_at(input_file, key_path)
        if (
            isinstance(value, dict)
            and value
            and not any(isinstance(one, (dict, list)) for one in value.values())
        ):
            return key_path
    return None


def _value_at(input_file: InputFile, key_path: KeyPath) -> PlainData:
    value = input_file.data
    for step in key_path:
        if isinstance(value, dict):
            value = value.get(str(step))
        else:
            value = value[step] if isinstance(value, list) and isinstance(step, int) else None
    return value


def _named_ports(input_file: InputFile) -> Iterator[ForeignPort]:
    """Yield every port under a key that ends in `_port`, except the agents' own ports."""
    for key_path, value in walk_values(input_file.data):
        key = str(key_path[-1]) if key_path else ""
        port = parse_port_value(value)
        if port is not None and key.endswith("_port") and key not in ("health_check_port", "health_port"):
            yield ForeignPort(key, port, input_file.location_of(key_path))


def _incomplete_row_decisions(input_file: InputFile, rows: list[AgentRow]) -> Iterator[ImportDecision]:
    """Yield a decision for each sibling of a row that is not a row."""
    row_paths = {row.path for row in rows}
    for parent in dict.fromkeys(row.path[:-1] for row in rows):
        value = _value_at(input_file, parent)
        pairs = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, item in pairs:
            path = (*parent, key)
            if parent and not any(row_path[: len(path)] == path for row_path in row_paths):
                label = f"row {key + 1}" if isinstance(key, int) else key
                name = (item.get("name") if isinstance(item, dict) else None) or label
                required = "a name and a script" if isinstance(value, list) else "a script"
                where = input_file.location_of(path)
                yield ImportDecision(where, f"`{name}` is omitted", f"a row needs {required}")


def _unsupported_reason(key: str) -> str:
    if "priority" in key:
        return "an order is not a dependency: list the agents to wait for under `needs`"
    return "a fleet file has no such key; scripts that read this file still find it"


def _unread_section_decisions(
    input_file: InputFile, rows: list[AgentRow], env_at: KeyPath | None
) -> Iterator[ImportDecision]:
    """Yield one decision that lists the sections of the file without agents or variables."""
    sections = {row.path[0] for row in rows if row.path} | ({env_at[0]} if env_at else set())
    unread: list[KeyPath] = [(key,) for key in input_file.top_mapping() if key not in sections]
    if env_at is not None and len(env_at) > 1:
        parent = _value_at(input_file, env_at[:1])
        unread += [(env_at[0], key) for key in parent if key != env_at[1]] if isinstance(parent, dict) else []
    if unread:
        names = ", ".join("`" + ".".join(map(str, steps)) + "`" for steps in unread)
        yield ImportDecision(
            input_file.location_of(unread[0]),
            f"not imported: {names}",
            "these sections start nothing; limits, time-outs and addresses can be added to this file",
        )
