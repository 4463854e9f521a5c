"""Reads a Procfile: lines of `name: command`."""

from __future__ import annotations

import re
from pathlib import PurePath

import msgspec

from argosy.fleet.importers.command_line import command_error, parse_shell_command
from argosy.fleet.importers.import_model import ImportDecision, ImportedAgent, ImportSource
from argosy.fleet.importers.input_file import InputFile

PROCFILE_FORMAT = "a Procfile (lines of `name: command`)"

# Files of other formats may consist of such lines too; their suffix decides.
_OTHER_FORMATS = frozenset(
    {".yaml", ".yml", ".json", ".ini", ".conf", ".cfg", ".toml", ".env", ".txt", ".md"}
)
_LINE = re.compile(r"^([A-Za-z0-9_.-]+):\s*(\S.*?)\s*$")
# The values of PORT in foreman and honcho: 5000 for the first process, 100 more for each further one.
_FIRST_PORT, _PORT_STEP = 5000, 100


def is_procfile(input_file: InputFile) -> bool:
    """Return whether every line except blank lines and comments is `name: command`."""
    if PurePath(input_file.display_name).suffix.lower() in _OTHER_FORMATS:
        return False
    lines = [
        line for line in input_file.text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    return bool(lines) and all(_LINE.match(line) for line in lines)


def read_procfile(input_file: InputFile) -> ImportSource:
    """Return the processes of a Procfile, in file order.

    Raises InputError: a command whose quotes do not match.
    """
    agents: list[ImportedAgent] = []
    decisions: list[ImportDecision] = []
    for number, line in enumerate(input_file.text.splitlines(), 1):
        match = None if line.lstrip().startswith("#") else _LINE.match(line)
        if match is None:
            continue
        where = f"{input_file.display_name}:{number}:1"
        with command_error(where, f"the command of `{match[1]}`", match[2]):
            command = parse_shell_command(match[2])
        decisions += [ImportDecision(where, what, why, match[1]) for what, why in command.notes]
        agent = ImportedAgent(
            name=match[1],
            where=where,
            run=command.run,
            args=command.args,
            env=command.env,
            python=command.python,
        )
        if re.search(r"\$\{?PORT\b", match[2]):
            agent, decision = _with_port(agent, _FIRST_PORT + _PORT_STEP * len(agents))
            decisions.append(decision)
        agents.append(agent)
    return ImportSource(
        path=input_file.path, kind=PROCFILE_FORMAT, agents=tuple(agents), decisions=tuple(decisions)
    )


def _with_port(agent: ImportedAgent, port: int) -> tuple[ImportedAgent, ImportDecision]:
    found = msgspec.structs.replace(agent, env={"PORT": str(port), **agent.env}, port=port)
    what = f"`{agent.name}` uses `$PORT` and gets {port}"
    why = f"as with foreman and honcho: {_FIRST_PORT}, and {_PORT_STEP} more for each further process"
    return found, ImportDecision(agent.where, what, why, agent.name)
