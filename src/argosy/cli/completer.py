"""Completes the last word of a command line: commands, options, their values, names from the fleet."""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from argosy.cli.arguments import find_fleet, looks_like_fleet
from argosy.cli.command_table import COMMANDS, MODULE_NAMES
from argosy.fault import ArgosyError

if TYPE_CHECKING:
    from argosy.fleet import Fleet

CompletionCandidates = Iterable[tuple[str, str]]
_NamesOfFleet = Callable[["Fleet"], CompletionCandidates]

_HELP_OPTIONS: Final = ("-h", "--help")


def _agents(fleet: Fleet) -> CompletionCandidates:
    return ((agent.name, agent.group or agent.machine or "") for agent in fleet.agents.values())


def _environments(fleet: Fleet) -> CompletionCandidates:
    return ((name, "environment") for name in fleet.environments)


# What kind of name an option takes, by its metavar.
_NAMES_BY_METAVAR: Final[dict[str, _NamesOfFleet]] = {
    "A": _agents,
    "A,B": _agents,
    "AGENT": _agents,
    "M": lambda fleet: ((name, "machine") for name in fleet.machines),
    "M,N": lambda fleet: ((name, "machine") for name in fleet.machines),
}
_NAMES_BY_OPTION: Final[dict[tuple[str, str], _NamesOfFleet]] = {
    ("image", "--only"): lambda fleet: (
        (spec.group, "group") for spec in fleet.agents.values() if spec.group
    ),
    ("drill", "--minutes"): lambda _: (),
}
_COMMANDS_TAKING_FLEET_NAME: Final = frozenset(("down", "status"))
# Commands whose positionals are agents, and the highest number of agents.
_AGENT_POSITIONALS: Final = {"logs": 999, "restart": 999, "call": 1, "address": 1}


def print_candidates(arguments: Sequence[str]) -> int:
    """Print a line for each candidate for the last of `arguments`: the word, a tab, its description."""
    sys.stdout.writelines(f"{word}\t{text}\n" for word, text in complete(arguments))
    return 0


def complete(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return the candidates for the last argument and their descriptions; none where a file is expected.

    arguments: the command line after `argosy`; the last one is being typed and may be empty.
    """
    prefix = arguments[-1] if arguments else ""
    if len(arguments) < 2 or (arguments[0] == "help" and len(arguments) == 2):
        found: CompletionCandidates = [*COMMANDS.items(), ("help", "show the help of a command")]
    elif arguments[0] in COMMANDS:
        found = _complete_command(arguments[0], arguments[1:-1], prefix)
    else:
        found = ()
    return sorted({each: text for each, text in found if each.startswith(prefix)}.items())


def _complete_command(command: str, preceding: Sequence[str], prefix: str) -> CompletionCandidates:
    parser = _parser_of(command)
    options = {name: action for action in parser._actions for name in action.option_strings}
    if prefix.startswith("--") and "=" in prefix:
        name, _, value = prefix.partition("=")
        found = _option_values(command, name, options.get(name), preceding, value)
        return [(f"{name}={each}", text) for each, text in found]
    if prefix.startswith("-"):
        return [(name, (action.help or "").partition("\n")[0]) for name, action in options.items()]
    if preceding and (action := options.get(preceding[-1])) and action.nargs != 0:
        return _option_values(command, preceding[-1], action, preceding, prefix)
    return _positionals(command, parser, options, preceding)


def _option_values(
    command: str, name: str, action: argparse.Action | None, preceding: Sequence[str], prefix: str
) -> CompletionCandidates:
    if action is None:
        return ()
    if action.choices:
        return [(str(each), "") for each in action.choices]
    metavar = str(action.metavar)
    names = _environments if name == "--env" else _NAMES_BY_METAVAR.get(metavar)
    names = _NAMES_BY_OPTION.get((command, name), names)
    found = list(_names_in_fleet(preceding, names)) if names else []
    if "," in metavar:  # a list: keep the names already given, and do not offer them again
        already_given, comma, _ = prefix.rpartition(",")
        used = set(already_given.split(","))
        found = [(f"{already_given}{comma}{each}", text) for each, text in found if each not in used]
    return found


def _positionals(
    command: str,
    parser: argparse.ArgumentParser,
    options: dict[str, argparse.Action],
    preceding: Sequence[str],
) -> CompletionCandidates:
    positionals = list(_positional_arguments(options, preceding))
    for action in parser._actions:
        if not action.option_strings and action.choices and not positionals:
            return [(str(each), "") for each in action.choices]
    agents = [word for word in positionals if not looks_like_fleet(word)]
    if len(agents) < _AGENT_POSITIONALS.get(command, 0):
        return [(name, text) for name, text in _names_in_fleet(preceding, _agents) if name not in agents]
    return _fleet_names() if command in _COMMANDS_TAKING_FLEET_NAME and not positionals else ()


def _fleet_names() -> CompletionCandidates:
    from argosy.engine.inventory.known_fleets import list_recorded_fleets  # noqa: PLC0415 - slow to import

    return [(fleet.name, str(fleet.path or "")) for fleet in list_recorded_fleets(os.environ)]


def _positional_arguments(options: dict[str, argparse.Action], preceding: Sequence[str]) -> Iterator[str]:
    """Yield the arguments that are neither options nor their values."""
    is_value = False
    for argument in preceding:
        if not is_value and not argument.startswith("-"):
            yield argument
        action = options.get(argument)
        is_value = not is_value and action is not None and action.nargs != 0


def _names_in_fleet(preceding: Sequence[str], names: _NamesOfFleet) -> CompletionCandidates:
    from argosy.fleet.loader import read_fleet  # noqa: PLC0415 - slow to import

    path = next((word for word in preceding if looks_like_fleet(word)), None)
    for option, value in itertools.pairwise(preceding):
        path = value if option == "--fleet" else path
    try:
        fleet, _ = read_fleet(find_fleet(path))
    except ArgosyError:
        return ()
    return names(fleet) if fleet else ()


def _parser_of(command: str) -> argparse.ArgumentParser:
    module = importlib.import_module(f"argosy.cli.commands.{MODULE_NAMES.get(command, command)}")
    parser = argparse.ArgumentParser(add_help=False)
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument(*_HELP_OPTIONS, action="help", help="show this help")
    return parser
