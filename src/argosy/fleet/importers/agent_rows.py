"""Finds and reads the rows of a startup config: mappings with an agent's script, ports and dependencies.

Rows are recognized by structure, under any key at any depth: under the agent's name, or in a list with the
name in the row. A row has the same keys in both.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import msgspec

from argosy.fleet.hosts import parse_port
from argosy.fleet.importers.command_line import CommandLine, command_error, is_true_word, parse_argv
from argosy.fleet.importers.import_model import (
    STARTS_EVERY_AGENT,
    ImportDecision,
    ImportedAgent,
    ImportedEdge,
)
from argosy.fleet.importers.input_file import InputFile, KeyPath, PlainData, walk_values

NAMED_AGENTS_FORMAT = "agents by name (`agent_groups: {GROUP: {NAME: {script_path: ...}}}`)"
LISTED_AGENTS_FORMAT = "agents in a list (`services: [{name: NAME, script_path: ...}]`)"

# The supported keys of a row, by meaning.
_SCRIPT_KEYS = ("script_path", "script", "path", "file")
_COMMAND_KEYS = ("command", "cmd")
_HEALTH_PORT_KEYS = ("health_check_port", "health_port")
_DEPENDENCY_KEYS = ("dependencies", "depends_on", "needs", "requires")
_ARGS_KEYS = ("args", "command_args", "arguments")
_ENV_KEYS = ("environment", "env")
_ENABLED_KEYS = ("enabled", "autostart")
SUPPORTED_ROW_KEYS = frozenset(
    {
        *("name", "host", "port", "required", *_SCRIPT_KEYS, *_COMMAND_KEYS, *_HEALTH_PORT_KEYS),
        *(*_DEPENDENCY_KEYS, *_ARGS_KEYS, *_ENV_KEYS, *_ENABLED_KEYS),
    }
)
# Names without meaning: a list called `agents` is not a group.
_GENERIC_NAMES = frozenset({"agents", "services", "programs", "processes"})


class AgentRow(msgspec.Struct, frozen=True):
    """A row and its path in the file."""

    name: str
    path: KeyPath
    keys: Mapping[str, object]
    group: str | None


def has_script(value: object) -> bool:
    """Return whether a value is a mapping that names a script."""
    return isinstance(value, dict) and any(_is_script(key, value.get(key)) for key in _SCRIPT_KEYS)


def find_named_agents(data: PlainData) -> list[AgentRow]:
    """Return the rows whose key is the agent's name, in file order."""
    return [
        AgentRow(path[-1], path, value, _group_of(path[:-1]))
        for path, value in walk_values(data, stop_at=has_script)
        if path and isinstance(path[-1], str) and isinstance(value, dict) and has_script(value)
    ]


def find_listed_agents(data: PlainData) -> list[AgentRow]:
    """Return the rows of lists, in file order: mappings with a name and a script or command."""
    return [
        AgentRow(str(value["name"]).strip(), path, value, _group_of(path[:-1]))
        for path, value in walk_values(data, stop_at=_is_listed_agent)
        if path and isinstance(path[-1], int) and isinstance(value, dict) and _is_listed_agent(value)
    ]


def _is_listed_agent(value: PlainData) -> bool:
    if not isinstance(value, dict) or not (has_script(value) or _has_command(value)):
        return False
    name = value.get("name")
    return isinstance(name, str | int) and not isinstance(name, bool) and bool(str(name).strip())


def _has_command(value: Mapping[str, object]) -> bool:
    return any(isinstance(value.get(key), (str, list)) and value.get(key) for key in _COMMAND_KEYS)


def _group_of(key_path: KeyPath) -> str | None:
    """Return the group named by the key above some rows, or None if the key is generic."""
    name = str(key_path[-1]) if key_path else ""
    return None if not name or name.lower() in _GENERIC_NAMES else name


def _is_script(key: str, value: object) -> bool:
    # `path` and `file` are used for many things, so they count only with a Python file.
    return (
        isinstance(value, str) and bool(value.strip()) and (key in _SCRIPT_KEYS[:2] or value.endswith(".py"))
    )


class AgentRowReader:
    """Reads the rows of one file and records the decisions."""

    def __init__(self, input_file: InputFile) -> None:
        self._input_file = input_file
        self.decisions: list[ImportDecision] = []

    def read(self, row: AgentRow) -> ImportedAgent:
        """Return the agent that a row describes."""
        command = self._command(row)
        args = (*command.args, *self._args(row))
        return ImportedAgent(
            name=row.name,
            where=self._input_file.location_of(row.path),
            run=command.run,
            args=args,
            env={**command.env, **self._env(row)},
            python=command.python,
            group=row.group,
            host=self._host(row),
            port=self._port(row, ("port",)),
            health_port=self._port(row, _HEALTH_PORT_KEYS),
            edges=self._edges(row),
            required=self._required(row),
        )

    def _add_decision(self, row: AgentRow, key: str, what: str, why: str) -> None:
        where = self._input_file.location_of((*row.path, key))
        self.decisions.append(ImportDecision(where, what, why, row.name))

    def _command(self, row: AgentRow) -> CommandLine:
        for key in _SCRIPT_KEYS:
            if _is_script(key, row.keys.get(key)):
                return CommandLine(str(row.keys[key]).strip())
        key = next(key for key in _COMMAND_KEYS if row.keys.get(key))
        where = self._input_file.location_of((*row.path, key))
        argv = self._split_argv(row, key)
        with command_error(where, f"`{key}` of `{row.name}`", row.keys[key]):
            command = parse_argv(argv)
        for what, why in command.notes:
            self._add_decision(row, key, what, why)
        return command

    def _args(self, row: AgentRow) -> tuple[str, ...]:
        key = _first_present_key(row, _ARGS_KEYS)
        value = row.keys.get(key)
        if isinstance(value, str | list):
            return self._split_argv(row, key)
        if value:
            why = "it is not a list of arguments; write it as `args`"
            self._add_decision(row, key, f"`{key}` is not imported", why)
        return ()

    def _split_argv(self, row: AgentRow, key: str) -> tuple[str, ...]:
        value = row.keys[key]
        if isinstance(value, list):
            return tuple(self._input_file.scalar_text((*row.path, key, at)) for at in range(len(value)))
        where = self._input_file.location_of((*row.path, key))
        with command_error(where, f"`{key}` of `{row.name}`", value):
            return tuple(shlex.split(str(value)))

    def _env(self, row: AgentRow) -> dict[str, str]:
        key = _first_present_key(row, _ENV_KEYS)
        value = row.keys.get(key)
        if isinstance(value, dict):
            return {name: self._input_file.scalar_text((*row.path, key, name)) for name in value}
        if value:
            self._add_decision(row, key, f"`{key}` is not imported", "it is not a mapping of variables")
        return {}

    def _host(self, row: AgentRow) -> str | None:
        value = row.keys.get("host")
        return value.strip() if isinstance(value, str) and value.strip() else None

    def _port(self, row: AgentRow, keys: Sequence[str]) -> int | None:
        key = _first_present_key(row, keys)
        value = row.keys.get(key)
        if value is None:
            return None
        port = parse_port_value(value)
        if port is None:
            why = "a port is a whole number from 1 to 65535"
            self._add_decision(row, key, f"`{key}: {value}` of `{row.name}` is omitted", why)
        return port

    def _edges(self, row: AgentRow) -> tuple[ImportedEdge, ...]:
        key = _first_present_key(row, _DEPENDENCY_KEYS)
        value = row.keys.get(key)
        if isinstance(value, dict):
            return tuple(
                ImportedEdge(str(to), self._input_file.location_of((*row.path, key, to))) for to in value
            )
        edges = []
        items = [] if value is None else value if isinstance(value, list) else [value]
        for at, item in enumerate(items):
            where = self._input_file.location_of((*row.path, key, at))
            to = item.get("name") or item.get("agent") if isinstance(item, dict) else item
            if isinstance(to, str | int) and not isinstance(to, bool) and str(to).strip():
                edges.append(ImportedEdge(str(to).strip(), where))
            else:
                self._add_decision(row, key, f"`{item}` in `{key}` is omitted", "it names no agent")
        return tuple(edges)

    def _required(self, row: AgentRow) -> bool:
        key = _first_present_key(row, _ENABLED_KEYS)
        if key in row.keys and not is_true_word(row.keys[key]):
            what = f"`{row.name}` is disabled (`{key}: {row.keys[key]}`) and gets `required: false`"
            self._add_decision(row, key, what, STARTS_EVERY_AGENT)
            return False
        return is_true_word(row.keys.get("required", True))


def _first_present_key(row: AgentRow, keys: Sequence[str]) -> str:
    """Return the first of `keys` that the row has, else the first."""
    return next((key for key in keys if key in row.keys), keys[0])


def parse_port_value(value: object) -> int | None:
    """Return a TCP port written as a number or as digits, else None."""
    text = str(value).strip()
    return parse_port(text) if text.isdecimal() else None
