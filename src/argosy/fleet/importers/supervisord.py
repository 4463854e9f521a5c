"""Reads the `[program:NAME]` sections of a supervisord.conf."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers.command_line import command_error, is_true_word, parse_argv
from argosy.fleet.importers.import_model import (
    STARTS_EVERY_AGENT,
    ImportDecision,
    ImportedAgent,
    ImportSource,
)
from argosy.fleet.importers.input_file import InputFile
from argosy.fleet.quantities import format_names

SUPERVISORD_FORMAT = "a supervisord.conf (sections `[program:NAME]`)"

_PROGRAM = re.compile(r"^\[program:([^\]]+)\]", re.MULTILINE)
_HEADER = re.compile(r"^\[([^\]]+)\]")
_KEY = re.compile(r"^([A-Za-z_]\w*)\s*[=:]")
_EXPANSION = re.compile(r"%(?:\((\w+)\)(0?\d*[sd])|%)")
_UNEXPANDED = re.compile(r"%\((?:ENV_\w+|host_node_name)\)s")
_RESTART_POLICIES: Mapping[str, Literal["on-failure", "always", "never"]] = {
    "unexpected": "on-failure",
    **dict.fromkeys(("true", "yes", "on", "1"), "always"),
    **dict.fromkeys(("false", "no", "off", "0"), "never"),
}
_SUPPORTED_KEYS = frozenset(
    {
        *("command", "directory", "environment", "autostart", "autorestart", "startsecs", "stopwaitsecs"),
        *("numprocs", "numprocs_start", "process_name", "priority", "user"),
    }
)


class _Program(msgspec.Struct, frozen=True):
    """One `[program:NAME]` section with the location of each of its keys."""

    name: str
    keys: dict[str, str]
    locations: dict[str, str]
    where: str

    def location_of(self, key: str) -> str:
        return self.locations.get(key, self.where)


def is_supervisord(input_file: InputFile) -> bool:
    """Return whether the file has a `[program:NAME]` section."""
    return _PROGRAM.search(input_file.text) is not None


def read_supervisord(input_file: InputFile) -> ImportSource:
    """Return the programs of a supervisord.conf, in file order.

    Raises InputError: the file is not an INI file, or a value is invalid.
    """
    parser = _parse_ini(input_file)
    locations = _find_positions(input_file)
    groups = _groups(parser)
    agents: list[ImportedAgent] = []
    decisions: list[ImportDecision] = _unsupported_section_decisions(parser, locations)
    for section in parser.sections():
        if not section.startswith("program:"):
            continue
        program = _make_program(section, parser, locations)
        found = _read_program(program, input_file, groups.get(program.name))
        agents += found
        decisions += _program_decisions(program, found)
    env = _environment(parser, locations, input_file)
    where = locations["supervisord", "environment"] if env else ""
    return ImportSource(
        path=input_file.path,
        kind=SUPERVISORD_FORMAT,
        agents=tuple(agents),
        env=env,
        env_where=where,
        decisions=tuple(decisions),
    )


def _parse_ini(input_file: InputFile) -> configparser.RawConfigParser:
    # The dialect of supervisor: `;` and `#` start a comment after a space.
    parser = configparser.RawConfigParser(
        inline_comment_prefixes=(";", "#"), strict=False, allow_no_value=True
    )
    try:
        parser.read_string(input_file.text, input_file.display_name)
    except configparser.Error as error:
        number = getattr(error, "lineno", None) or next((n for n, _ in getattr(error, "errors", [])), 1)
        where = f"{input_file.display_name}:{number}:1"
        message = "this line is neither `[section]` nor `key = value`"
        hint = "continuation lines of a value must be indented"
        raise InputError(Fault(where, "syntax", message, hint)) from error
    return parser


def _find_positions(input_file: InputFile) -> dict[tuple[str, str], str]:
    """Return the first location of each section (key "") and of each of its keys."""
    locations: dict[tuple[str, str], str] = {}
    section = ""
    for number, line in enumerate(input_file.text.splitlines(), 1):
        where = f"{input_file.display_name}:{number}:1"
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            section = header[1]
            locations.setdefault((section, ""), where)
        elif key:
            locations.setdefault((section, key[1].lower()), where)
    return locations


def _make_program(
    section: str, parser: configparser.RawConfigParser, locations: dict[tuple[str, str], str]
) -> _Program:
    keys = {key: value or "" for key, value in parser.items(section)}
    own = {key: where for (name, key), where in locations.items() if name == section and key}
    return _Program(section.partition(":")[2].strip(), keys, own, locations[section, ""])


def _groups(parser: configparser.RawConfigParser) -> dict[str, str]:
    """Return the group of each program that a `[group:NAME]` section lists."""
    groups: dict[str, str] = {}
    for section in parser.sections():
        if section.startswith("group:"):
            for program in (parser.get(section, "programs", fallback="") or "").split(","):
                groups[program.strip()] = section.partition(":")[2].strip()
    return groups


def _unsupported_section_decisions(
    parser: configparser.RawConfigParser, locations: dict[tuple[str, str], str]
) -> list[ImportDecision]:
    reasons = {
        "eventlistener": "argosy has no event listeners; its hub reports events",
        "fcgi-program": "argosy passes no FastCGI socket to a process",
        "include": "name the included files on the command line to import them too",
    }
    return [
        ImportDecision(locations[section, ""], f"the section `[{section}]` is not imported", reasons[kind])
        for section in parser.sections()
        if (kind := section.partition(":")[0]) in reasons
    ]


def _environment(
    parser: configparser.RawConfigParser, locations: dict[tuple[str, str], str], input_file: InputFile
) -> dict[str, str]:
    """Return the variables that `environment` of `[supervisord]` sets for every program."""
    text = parser.get("supervisord", "environment", fallback="") or ""
    if not text:
        return {}
    where = locations["supervisord", "environment"]
    return _parse_environment(
        _expand_names(text, _expansion_names(input_file, "supervisord", None), where), where
    )


def _expansion_names(
    input_file: InputFile, program: str, group: str | None, number: int = 0, count: int = 1
) -> dict[str, str | int]:
    return {
        "here": str(input_file.path.parent),
        "program_name": program,
        "group_name": group or program,
        "process_num": number,
        "numprocs": count,
    }


def _expand_names(text: str, names: Mapping[str, str | int], where: str) -> str:
    """Expand `%(name)s` as supervisor does, except `%(ENV_X)s`, which is left for the user."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        if name in names:
            return f"%{match[2]}" % names[name]
        if name.startswith("ENV_") or name == "host_node_name":
            return match[0]
        message = f"`{match[0]}` is unknown; known names are {format_names(names)} and `ENV_...`"
        raise InputError(Fault(where, "unknown-name", message))

    return _EXPANSION.sub(replace, text)


def _parse_environment(text: str, where: str) -> dict[str, str]:
    """Parse `KEY="value",KEY2=value` as supervisor does."""
    lexer = shlex.shlex(text)
    lexer.wordchars += "/.+-():$%{}@~*?&^!<>"
    try:
        tokens = list(lexer)
    except ValueError as error:
        raise InputError(Fault(where, "syntax", f"`environment` has an unclosed quote: `{text}`")) from error
    pairs: dict[str, str] = {}
    for start in range(0, len(tokens), 4):
        group = tokens[start : start + 4]
        if len(group) < 3 or group[1] != "=" or group[3:] not in ([], [","]):
            message = f'`environment` is not `KEY="value",KEY2="value"` at `{" ".join(group)}`'
            raise InputError(Fault(where, "syntax", message, "put the values in double quotes"))
        pairs[group[0]] = group[2].strip("'\"")
    return pairs


def _read_program(program: _Program, input_file: InputFile, group: str | None) -> list[ImportedAgent]:
    count = _read_number(program, "numprocs", 1)
    first = _read_number(program, "numprocs_start", 0)
    pattern = program.keys.get("process_name", "%(program_name)s")
    agents: list[ImportedAgent] = []
    for number in range(first, first + count):
        names = _expansion_names(input_file, program.name, group, number, count)
        name = _expand_names(pattern, names, program.location_of("process_name"))
        agents.append(_read_process(program, name, names, group))
    if len({agent.name for agent in agents}) < len(agents):
        message = f"the {count} processes of `{program.name}` are all called `{agents[0].name}`"
        hint = "`process_name = %(program_name)s_%(process_num)02d` makes the names unique"
        raise InputError(Fault(program.location_of("numprocs"), "bad-value", message, hint))
    return agents


def _read_process(
    program: _Program, name: str, names: Mapping[str, str | int], group: str | None
) -> ImportedAgent:
    def text(key: str) -> str:
        return _expand_names(program.keys.get(key, ""), names, program.location_of(key))

    with command_error(
        program.location_of("command"), f"the command of `[program:{program.name}]`", text("command")
    ):
        # supervisor does not use a shell, so shell syntax is plain text.
        command = parse_argv(tuple(shlex.split(text("command"))))
    folder = text("directory") or None
    run = command.run
    if isinstance(run, str) and folder:
        run = str(PurePosixPath(folder) / run)
    stop = _read_number(program, "stopwaitsecs", 0)
    start_grace = _read_number(program, "startsecs", 0)
    return ImportedAgent(
        name=name,
        where=program.where,
        run=run,
        args=command.args,
        env={**command.env, **_parse_environment(text("environment"), program.location_of("environment"))},
        cwd=folder,
        python=command.python,
        group=group,
        required=is_true_word(program.keys.get("autostart", "true")),
        restart=_restart_policy(program),
        start_grace_s=float(start_grace) if start_grace else None,
        stop_timeout_s=float(stop) if stop else None,
    )


def _read_number(program: _Program, key: str, default: int) -> int:
    text = program.keys.get(key, "").strip()
    if not text:
        return default
    if not text.isdecimal():
        raise _bad_value(program, key, text, "a whole number")
    return int(text)


def _restart_policy(program: _Program) -> Literal["on-failure", "always", "never"] | None:
    text = program.keys.get("autorestart", "").strip().lower()
    if not text:
        return None
    if text not in _RESTART_POLICIES:
        raise _bad_value(program, "autorestart", text, "true, false or unexpected")
    return _RESTART_POLICIES[text]


def _bad_value(program: _Program, key: str, found: str, expected: str) -> InputError:
    return InputError(
        Fault(program.location_of(key), "bad-value", f"`{key}` is `{found}`, expected {expected}")
    )


def _program_decisions(program: _Program, found: list[ImportedAgent]) -> list[ImportDecision]:
    """Return the decisions about one program, each at its key."""
    name = found[0].name if found else program.name

    def decide(key: str, what: str, why: str) -> ImportDecision:
        return ImportDecision(program.location_of(key), what, why, name)

    decisions: list[ImportDecision] = []
    if "priority" in program.keys:
        what = f"`priority = {program.keys['priority']}` of `{program.name}` is not imported"
        why = "it is an order, not a dependency: list the agents to wait for under `needs`"
        decisions.append(decide("priority", what, why))
    if "user" in program.keys:
        what = f"`user = {program.keys['user']}` of `{program.name}` is not imported"
        decisions.append(decide("user", what, "every agent runs as the user who runs argosy"))
    if not is_true_word(program.keys.get("autostart", "true")):
        what = f"`{program.name}` does not start automatically and gets `required: false`"
        decisions.append(decide("autostart", what, STARTS_EVERY_AGENT))
    if len(found) > 1:
        names = format_names(agent.name for agent in found)
        what = f"`{program.name}` runs {len(found)} processes: {names}"
        decisions.append(decide("numprocs", what, "each becomes an agent"))
    texts = sorted({text for value in program.keys.values() for text in _UNEXPANDED.findall(value)})
    why = "supervisor expands it at start: write its value"
    decisions += [decide("environment", f"`{text}` of `{program.name}` is unchanged", why) for text in texts]
    others = sorted(set(program.keys) - _SUPPORTED_KEYS)
    if others:
        what = f"not imported from `{program.name}`: {format_names(others)}"
        decisions.append(
            decide(others[0], what, "a fleet file has no such key; argosy writes the logs itself")
        )
    return decisions
