"""Reads a supervisord.conf: its `[program:NAME]` sections."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers.command import Command, read_words
from argosy.fleet.importers.found import Decision, FoundAgent, Source
from argosy.fleet.importers.intake import Intake

KIND = "a supervisord.conf (sections `[program:NAME]`)"

_PROGRAM = re.compile(r"^\[program:([^\]]+)\]", re.MULTILINE)
_HEADER = re.compile(r"^\[([^\]]+)\]")
_KEY = re.compile(r"^([A-Za-z_]\w*)\s*[=:]")
_EXPANSION = re.compile(r"%(?:\((\w+)\)(0?\d*[sd])|%)")
_RESTARTS: Mapping[str, Literal["on-failure", "always", "never"]] = {
    "unexpected": "on-failure",
    **dict.fromkeys(("true", "yes", "on", "1"), "always"),
    **dict.fromkeys(("false", "no", "off", "0"), "never"),
}
_TAKEN = frozenset(
    {
        *("command", "directory", "environment", "autostart", "autorestart", "startsecs", "stopwaitsecs"),
        *("numprocs", "numprocs_start", "process_name", "priority", "user"),
    }
)


class _Program(msgspec.Struct, frozen=True):
    """One `[program:NAME]` section with the place of each of its keys."""

    name: str
    keys: dict[str, str]
    places: dict[str, str]
    where: str

    def place(self, key: str) -> str:
        return self.places.get(key, self.where)


def is_supervisord(intake: Intake) -> bool:
    """Return whether the file has a `[program:NAME]` section."""
    return _PROGRAM.search(intake.text) is not None


def read_supervisord(intake: Intake) -> Source:
    """Return the programs of a supervisord.conf, in its order.

    Raises InputError: the file is no INI file, or a program's value cannot be read.
    """
    parser = _parse(intake)
    places = _places(intake)
    groups = _groups(parser)
    agents: list[FoundAgent] = []
    decisions: list[Decision] = _unread_sections(parser, places)
    for section in parser.sections():
        if not section.startswith("program:"):
            continue
        program = _program(section, parser, places)
        found = _read_program(program, intake, groups.get(program.name))
        agents += found
        decisions += _decide(program, found)
    env = _environment(parser, places, intake)
    where = places["supervisord", "environment"] if env else ""
    return Source(
        path=intake.path,
        kind=KIND,
        agents=tuple(agents),
        env=env,
        env_where=where,
        decisions=tuple(decisions),
    )


def _parse(intake: Intake) -> configparser.RawConfigParser:
    # The same dialect that supervisor reads: `;` and `#` begin a comment after a space.
    parser = configparser.RawConfigParser(
        inline_comment_prefixes=(";", "#"), strict=False, allow_no_value=True
    )
    try:
        parser.read_string(intake.text, intake.name)
    except configparser.Error as error:
        number = getattr(error, "lineno", None) or next((n for n, _ in getattr(error, "errors", [])), 1)
        raise InputError(
            Fault(
                f"{intake.name}:{number}:1",
                "syntax",
                "this line is neither `[section]` nor `key = value`",
                "a value goes on over several lines when the further ones are indented",
            )
        ) from error
    return parser


def _places(intake: Intake) -> dict[tuple[str, str], str]:
    """Return where each section (key "") and each key of it first stands."""
    places: dict[tuple[str, str], str] = {}
    section = ""
    for number, line in enumerate(intake.text.splitlines(), 1):
        where = f"{intake.name}:{number}:1"
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            section = header[1]
            places.setdefault((section, ""), where)
        elif key:
            places.setdefault((section, key[1].lower()), where)
    return places


def _program(
    section: str, parser: configparser.RawConfigParser, places: dict[tuple[str, str], str]
) -> _Program:
    keys = {key: value or "" for key, value in parser.items(section)}
    own = {key: where for (name, key), where in places.items() if name == section and key}
    return _Program(section.partition(":")[2].strip(), keys, own, places[section, ""])


def _groups(parser: configparser.RawConfigParser) -> dict[str, str]:
    """Return the group of each program that a `[group:NAME]` section lists."""
    groups: dict[str, str] = {}
    for section in parser.sections():
        if section.startswith("group:"):
            for program in (parser.get(section, "programs", fallback="") or "").split(","):
                groups[program.strip()] = section.partition(":")[2].strip()
    return groups


def _unread_sections(
    parser: configparser.RawConfigParser, places: dict[tuple[str, str], str]
) -> list[Decision]:
    reasons = {
        "eventlistener": "argosy has no event listeners; its hub tells what happens",
        "fcgi-program": "argosy hands no FastCGI socket to a process",
        "include": "name the included files on the command line to read them as well",
    }
    return [
        Decision(places[section, ""], f"the section `[{section}]` is not taken over", reasons[kind])
        for section in parser.sections()
        if (kind := section.partition(":")[0]) in reasons
    ]


def _environment(
    parser: configparser.RawConfigParser, places: dict[tuple[str, str], str], intake: Intake
) -> dict[str, str]:
    """Return what `environment` of the `[supervisord]` section sets for every program."""
    text = parser.get("supervisord", "environment", fallback="") or ""
    if not text:
        return {}
    where = places["supervisord", "environment"]
    return _pairs(_expand(text, _names(intake, "supervisord", None), where), where)


def _names(intake: Intake, program: str, group: str | None) -> dict[str, str | int]:
    return {
        "here": str(intake.path.parent),
        "program_name": program,
        "group_name": group or program,
        "process_num": 0,
        "numprocs": 1,
    }


def _expand(text: str, names: Mapping[str, str | int], where: str) -> str:
    """Replace `%(name)s` as supervisor does, but for `%(ENV_X)s`, which stays for a person to see."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        if name in names:
            return f"%{match[2]}" % names[name]
        if name.startswith("ENV_") or name == "host_node_name":
            return match[0]
        known = ", ".join(f"`{known}`" for known in names)
        raise InputError(
            Fault(where, "unknown-name", f"`{match[0]}` names nothing; known are {known} and `ENV_...`")
        )

    return _EXPANSION.sub(replace, text)


def _pairs(text: str, where: str) -> dict[str, str]:
    """Read `KEY="value",KEY2=value` as supervisor does."""
    lexer = shlex.shlex(text)
    lexer.wordchars += "/.+-():$%{}@~*?&^!<>"
    try:
        tokens = list(lexer)
    except ValueError as error:
        raise InputError(
            Fault(where, "syntax", f"`environment` has a quote that does not end: `{text}`")
        ) from error
    pairs: dict[str, str] = {}
    for start in range(0, len(tokens), 4):
        group = tokens[start : start + 4]
        if len(group) < 3 or group[1] != "=" or group[3:] not in ([], [","]):
            raise InputError(
                Fault(
                    where,
                    "syntax",
                    f'`environment` is not `KEY="value",KEY2="value"` at `{" ".join(group)}`',
                    "put the values in double quotes",
                )
            )
        pairs[group[0]] = group[2].strip("'\"")
    return pairs


def _read_program(program: _Program, intake: Intake, group: str | None) -> list[FoundAgent]:
    count = _number(program, "numprocs", 1)
    first = _number(program, "numprocs_start", 0)
    pattern = program.keys.get("process_name", "%(program_name)s")
    agents: list[FoundAgent] = []
    for number in range(first, first + count):
        names = {**_names(intake, program.name, group), "process_num": number, "numprocs": count}
        name = _expand(pattern, names, program.place("process_name"))
        agents.append(_read_process(program, name, names, group))
    if len({agent.name for agent in agents}) < len(agents):
        message = f"the {count} processes of `{program.name}` are all called `{agents[0].name}`"
        hint = "`process_name = %(program_name)s_%(process_num)02d` tells them apart"
        raise InputError(Fault(program.place("numprocs"), "bad-value", message, hint))
    return agents


def _read_process(
    program: _Program, name: str, names: Mapping[str, str | int], group: str | None
) -> FoundAgent:
    def text(key: str) -> str:
        return _expand(program.keys.get(key, ""), names, program.place(key))

    command = _command(program, text("command"))
    folder = text("directory") or None
    run = command.run
    if isinstance(run, str) and folder:
        run = str(PurePosixPath(folder) / run)
    stop = _number(program, "stopwaitsecs", 0)
    alive = _number(program, "startsecs", 0)
    return FoundAgent(
        name=name,
        where=program.where,
        run=run,
        args=command.args,
        env={**command.env, **_pairs(text("environment"), program.place("environment"))},
        cwd=folder,
        python=command.python,
        group=group,
        required=_is_true(program.keys.get("autostart", "true")),
        restart=_restart(program),
        alive_s=float(alive) if alive else None,
        stop_timeout_s=float(stop) if stop else None,
    )


def _command(program: _Program, text: str) -> Command:
    try:
        # supervisor starts without a shell: what looks like shell syntax is plain text to it.
        return read_words(tuple(shlex.split(text)))
    except ValueError as error:
        raise InputError(
            Fault(
                program.place("command"),
                "bad-command",
                f"the command of `[program:{program.name}]` cannot be read: {str(error).lower()}: `{text}`",
            )
        ) from error


def _number(program: _Program, key: str, otherwise: int) -> int:
    text = program.keys.get(key, "").strip()
    if not text:
        return otherwise
    if not text.isdecimal():
        raise InputError(
            Fault(program.place(key), "bad-value", f"`{key}` is `{text}`; a whole number was expected")
        )
    return int(text)


def _restart(program: _Program) -> Literal["on-failure", "always", "never"] | None:
    text = program.keys.get("autorestart", "").strip().lower()
    if not text:
        return None
    if text not in _RESTARTS:
        raise InputError(
            Fault(
                program.place("autorestart"),
                "bad-value",
                f"`autorestart` is `{text}`; expected true, false or unexpected",
            )
        )
    return _RESTARTS[text]


def _is_true(text: str) -> bool:
    return text.strip().lower() not in ("false", "no", "off", "0")


def _decide(program: _Program, found: list[FoundAgent]) -> list[Decision]:
    """Return what a person should know about one program, each told at its key."""
    name = found[0].name if found else program.name

    def decide(key: str, what: str, why: str) -> Decision:
        return Decision(program.place(key), what, why, name)

    decisions: list[Decision] = []
    if "priority" in program.keys:
        what = f"`priority = {program.keys['priority']}` of `{program.name}` is not taken over"
        why = "it is an order, not a dependency: write what it waits for under `needs`"
        decisions.append(decide("priority", what, why))
    if "user" in program.keys:
        what = f"`user = {program.keys['user']}` of `{program.name}` is not taken over"
        decisions.append(decide("user", what, "every agent runs as the user who runs argosy"))
    if not _is_true(program.keys.get("autostart", "true")):
        what = f"`{program.name}` does not start by itself today and gets `required: false`"
        decisions.append(
            decide("autostart", what, "argosy starts every agent of the file: take it out, or use `--only`")
        )
    if len(found) > 1:
        what = f"`{program.name}` runs {len(found)} processes: " + ", ".join(
            f"`{agent.name}`" for agent in found
        )
        decisions.append(decide("numprocs", what, "each is an agent of its own"))
    decisions += [decide("environment", what, why) for what, why in _unexpanded(program)]
    others = sorted(set(program.keys) - _TAKEN)
    if others:
        what = f"of `{program.name}` not taken over: " + ", ".join(f"`{key}`" for key in others)
        decisions.append(
            decide(others[0], what, "a fleet file has no such key; argosy writes the logs itself")
        )
    return decisions


def _unexpanded(program: _Program) -> list[tuple[str, str]]:
    left = sorted(
        {
            match[0]
            for value in program.keys.values()
            for match in re.finditer(r"%\((?:ENV_\w+|host_node_name)\)s", value)
        }
    )
    return [
        (
            f"`{text}` of `{program.name}` stands as it is",
            "supervisor fills it in when it starts: write its value",
        )
        for text in left
    ]
