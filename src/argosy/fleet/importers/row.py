"""One row of a startup config: the mapping that gives an agent's script, ports and dependencies.

Two shapes hold such rows, `groups` (by name) and `rows` (in a list); a row reads the same in both.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers.command import Command, read_words
from argosy.fleet.importers.found import Decision, FoundAgent, FoundEdge
from argosy.fleet.importers.intake import Intake, Steps

# Every key of a row that is understood, by what it means.
_SCRIPT = ("script_path", "script", "path", "file")
_COMMAND = ("command", "cmd")
_HEALTH_PORT = ("health_check_port", "health_port")
_EDGES = ("dependencies", "depends_on", "needs", "requires")
_ARGS = ("args", "command_args", "arguments")
_ENV = ("environment", "env")
_ENABLED = ("enabled", "autostart")
TAKEN = frozenset(
    (
        "name",
        "host",
        "port",
        "required",
        *_SCRIPT,
        *_COMMAND,
        *_HEALTH_PORT,
        *_EDGES,
        *_ARGS,
        *_ENV,
        *_ENABLED,
    )
)
# Names that say nothing: a list called `agents` is no group.
_PLAIN_NAMES = frozenset({"agents", "services", "programs", "processes"})
_FALSE = frozenset({"false", "no", "off", "0"})


class Row(msgspec.Struct, frozen=True):
    """A row, and where it stands in its file."""

    name: str
    path: Steps
    keys: Mapping[str, object]
    group: str | None


def has_script(value: object) -> bool:
    """Return whether a value is a mapping that names a script."""
    return isinstance(value, dict) and any(_is_script(key, value.get(key)) for key in _SCRIPT)


def has_command(value: object) -> bool:
    """Return whether a value is a mapping that gives a command."""
    return isinstance(value, dict) and any(
        isinstance(value.get(key), (str, list)) and value.get(key) for key in _COMMAND
    )


def group_of(steps: Steps) -> str | None:
    """Return the group that the key over some rows gives them, or None where it says nothing."""
    name = str(steps[-1]) if steps else ""
    return None if not name or name.lower() in _PLAIN_NAMES else name


def _is_script(key: str, value: object) -> bool:
    # `path` and `file` name many things; only a Python file is taken for a script.
    return isinstance(value, str) and bool(value.strip()) and (key in _SCRIPT[:2] or value.endswith(".py"))


class RowReader:
    """Reads the rows of one file and keeps the decisions that reading them took."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.decisions: list[Decision] = []

    def read(self, row: Row) -> FoundAgent:
        """Return the agent that a row describes."""
        command = self._command(row)
        args = (*command.args, *self._args(row))
        return FoundAgent(
            name=row.name,
            where=self._intake.where(row.path),
            run=command.run,
            args=args,
            env={**command.env, **self._env(row)},
            python=command.python,
            group=row.group,
            host=self._host(row),
            port=self._port(row, ("port",)),
            health_port=self._port(row, _HEALTH_PORT),
            edges=self._edges(row),
            required=self._required(row),
        )

    def _decide(self, row: Row, key: str, what: str, why: str) -> None:
        self.decisions.append(Decision(self._intake.where((*row.path, key)), what, why, row.name))

    def _command(self, row: Row) -> Command:
        for key in _SCRIPT:
            if _is_script(key, row.keys.get(key)):
                return Command(str(row.keys[key]).strip())
        key = next(key for key in _COMMAND if row.keys.get(key))
        words = self._words(row, key)
        try:
            command = read_words(words)
        except ValueError as error:
            raise self._bad_command(row, key, error) from error
        for what, why in command.notes:
            self._decide(row, key, what, why)
        return command

    def _args(self, row: Row) -> tuple[str, ...]:
        key = _present(row, _ARGS)
        value = row.keys.get(key)
        if isinstance(value, str | list):
            return self._words(row, key)
        if value:
            self._decide(row, key, f"`{key}` is not taken over", "it is no list of words; write it as `args`")
        return ()

    def _words(self, row: Row, key: str) -> tuple[str, ...]:
        value = row.keys[key]
        if isinstance(value, list):
            return tuple(self._intake.written((*row.path, key, at)) for at in range(len(value)))
        try:
            return tuple(shlex.split(str(value)))
        except ValueError as error:
            raise self._bad_command(row, key, error) from error

    def _bad_command(self, row: Row, key: str, error: ValueError) -> InputError:
        message = f"`{key}` of `{row.name}` cannot be read: {str(error).lower()}: `{row.keys[key]}`"
        return InputError(Fault(self._intake.where((*row.path, key)), "bad-command", message))

    def _env(self, row: Row) -> dict[str, str]:
        key = _present(row, _ENV)
        value = row.keys.get(key)
        if isinstance(value, dict):
            return {name: self._intake.written((*row.path, key, name)) for name in value}
        if value:
            self._decide(row, key, f"`{key}` is not taken over", "it is no mapping of variables")
        return {}

    def _host(self, row: Row) -> str | None:
        value = row.keys.get("host")
        return value.strip() if isinstance(value, str) and value.strip() else None

    def _port(self, row: Row, keys: Sequence[str]) -> int | None:
        key = _present(row, keys)
        value = row.keys.get(key)
        if value is None:
            return None
        port = as_port(value)
        if port is None:
            why = "a port is a whole number from 1 to 65535"
            self._decide(row, key, f"`{key}: {value}` of `{row.name}` is left out", why)
        return port

    def _edges(self, row: Row) -> tuple[FoundEdge, ...]:
        key = _present(row, _EDGES)
        value = row.keys.get(key)
        if isinstance(value, dict):
            return tuple(FoundEdge(str(to), self._intake.where((*row.path, key, to))) for to in value)
        edges = []
        for at, item in enumerate(_items(value)):
            where = self._intake.where((*row.path, key, at))
            to = item.get("name") or item.get("agent") if isinstance(item, dict) else item
            if isinstance(to, str | int) and not isinstance(to, bool) and str(to).strip():
                edges.append(FoundEdge(str(to).strip(), where))
            else:
                self._decide(row, key, f"`{item}` in `{key}` is left out", "it names no agent")
        return tuple(edges)

    def _required(self, row: Row) -> bool:
        key = _present(row, _ENABLED)
        if key in row.keys and not _is_true(row.keys[key]):
            what = f"`{row.name}` is switched off today (`{key}: {row.keys[key]}`) and gets `required: false`"
            self._decide(
                row, key, what, "argosy starts every agent of the file: take it out, or use `--only`"
            )
            return False
        return _is_true(row.keys.get("required", True))


def _present(row: Row, keys: Sequence[str]) -> str:
    """Return the first of `keys` that the row has, else the first."""
    return next((key for key in keys if key in row.keys), keys[0])


def _items(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is_true(value: object) -> bool:
    return value is not None and value is not False and str(value).strip().lower() not in _FALSE


def as_port(value: object) -> int | None:
    """Return a TCP port written as a number or as digits, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not str(value).strip().isdecimal():
        return None
    port = int(value)
    return port if 1 <= port <= 65535 else None
