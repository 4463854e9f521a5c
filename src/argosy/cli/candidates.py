"""What the last word of a command line may become: verbs, options, their values, names of the fleet."""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from argosy.cli.arguments import find_fleet, looks_like_fleet
from argosy.cli.verbs import MODULES, VERBS
from argosy.fault import ArgosyError

if TYPE_CHECKING:
    from argosy.fleet import Fleet

Candidates = Iterable[tuple[str, str]]
_Names = Callable[["Fleet"], Candidates]

_HELP: Final = ("-h", "--help")


def _agents(fleet: Fleet) -> Candidates:
    return ((agent.name, agent.group or agent.machine or "") for agent in fleet.agents.values())


def _groups(fleet: Fleet) -> Candidates:
    return ((group, "group") for group in {agent.group: None for agent in fleet.agents.values()} if group)


def _machines(fleet: Fleet) -> Candidates:
    return ((name, "machine") for name in fleet.machines)


def _environments(fleet: Fleet) -> Candidates:
    return ((name, "environment") for name in fleet.environments)


def _nothing(_: Fleet) -> Candidates:
    return ()


# What an option's value names, by the metavar that its help shows.
_BY_METAVAR: Final[dict[str, _Names]] = {
    "A": _agents,
    "A,B": _agents,
    "AGENT": _agents,
    "M": _machines,
    "M,N": _machines,
}
_BY_OPTION: Final[dict[tuple[str, str], _Names]] = {
    ("image", "--only"): _groups,
    ("drill", "--minutes"): _nothing,
}
_BY_FLEET_NAME: Final = frozenset(("down", "status"))
# Verbs whose positionals are agents: how many of them.
_POSITIONALS: Final = {"logs": 999, "restart": 999, "call": 1, "address": 1}


def offer(words: Sequence[str]) -> int:
    """Print the candidates for the last of `words`, a line each: the word, a tab, what it is."""
    sys.stdout.writelines(f"{word}\t{text}\n" for word, text in candidates(words))
    return 0


def candidates(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return what the last of `words` may become, each with what it is; none where a file name is due.

    words: the command line behind `argosy`; the last one is being written and may be empty.
    """
    last = words[-1] if words else ""
    if len(words) < 2 or (words[0] == "help" and len(words) == 2):
        offered: Candidates = [*VERBS.items(), ("help", "what a verb does")]
    elif words[0] in VERBS:
        offered = _of_verb(words[0], words[1:-1], last)
    else:
        offered = ()
    return sorted({each: text for each, text in offered if each.startswith(last)}.items())


def _of_verb(verb: str, before: Sequence[str], last: str) -> Candidates:
    parser = _parser(verb)
    options = {name: action for action in parser._actions for name in action.option_strings}
    if last.startswith("--") and "=" in last:
        name, _, value = last.partition("=")
        found = _values(verb, name, options.get(name), before, value)
        return [(f"{name}={each}", text) for each, text in found]
    if last.startswith("-"):
        return [(name, (action.help or "").partition("\n")[0]) for name, action in options.items()]
    if before and (action := options.get(before[-1])) and action.nargs != 0:
        return _values(verb, before[-1], action, before, last)
    return _positionals(verb, parser, options, before)


def _values(
    verb: str, name: str, action: argparse.Action | None, before: Sequence[str], last: str
) -> Candidates:
    if action is None:
        return ()
    if action.choices:
        return [(str(each), "") for each in action.choices]
    metavar = str(action.metavar)
    names = _environments if name == "--env" else _BY_METAVAR.get(metavar)
    names = _BY_OPTION.get((verb, name), names)
    found = list(_named(before, names)) if names else []
    if "," in metavar:  # a list: what stands already is kept, and not offered again
        kept, comma, _ = last.rpartition(",")
        taken = set(kept.split(","))
        found = [(f"{kept}{comma}{each}", text) for each, text in found if each not in taken]
    return found


def _positionals(
    verb: str, parser: argparse.ArgumentParser, options: dict[str, argparse.Action], before: Sequence[str]
) -> Candidates:
    given = list(_plain_words(options, before))
    for action in parser._actions:
        if not action.option_strings and action.choices and not given:
            return [(str(each), "") for each in action.choices]
    agents = [word for word in given if not looks_like_fleet(word)]
    if len(agents) < _POSITIONALS.get(verb, 0):
        return [(name, text) for name, text in _named(before, _agents) if name not in agents]
    return _fleets() if verb in _BY_FLEET_NAME and not given else ()


def _fleets() -> Candidates:
    from argosy.engine.known import recorded_fleets  # noqa: PLC0415 - for the verbs that take a name

    return [(fleet.name, str(fleet.path or "")) for fleet in recorded_fleets(os.environ)]


def _plain_words(options: dict[str, argparse.Action], before: Sequence[str]) -> Iterator[str]:
    """Yield the words that are neither options nor their values."""
    is_value = False
    for word in before:
        if not is_value and not word.startswith("-"):
            yield word
        action = options.get(word)
        is_value = not is_value and action is not None and action.nargs != 0


def _named(before: Sequence[str], names: _Names) -> Candidates:
    from argosy.fleet.load import read_fleet  # noqa: PLC0415 - slow to load, for names alone

    chosen = next((word for word in before if looks_like_fleet(word)), None)
    for option, value in itertools.pairwise(before):
        chosen = value if option == "--fleet" else chosen
    try:
        fleet, _ = read_fleet(find_fleet(chosen))
    except ArgosyError:
        return ()
    return names(fleet) if fleet else ()


def _parser(verb: str) -> argparse.ArgumentParser:
    module = importlib.import_module(f"argosy.cli.{MODULES.get(verb, verb)}")
    parser = argparse.ArgumentParser(add_help=False)
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument(*_HELP, action="help", help="what this verb does")
    return parser
