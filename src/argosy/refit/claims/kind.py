"""A kind of query as data, and what answers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from argosy.refit.claims.answer import Answer, Spot
from argosy.refit.claims.ground import Ground
from argosy.refit.claims.lexical import Outline
from argosy.refit.file import PythonFile

_NAME = re.compile(r"[\w*?.]+")


class Item(msgspec.Struct, frozen=True, array_like=True):
    """What one Python file tells to a query.

    name: qualified. more: such as the bases of a class. shape: what a function does, empty where that is not
    known. lines: how many there are, blank ones left out.
    """

    line: int
    column: int
    name: str
    more: tuple[str, ...] = ()
    shape: bytes = b""
    lines: int = 0
    by_tokens: bool = False


Items = Mapping[str, Sequence[Item]]


class Reading(msgspec.Struct, frozen=True):
    """How a query reads Python files.

    file: takes what it wants from a file. broken: the same from one that does not parse. word: what a file
    has to hold, else it is not opened as Python; empty for any. is_whole: it wants the files outside the
    scope too.
    """

    file: Callable[[PythonFile, str], list[Item]]
    broken: Callable[[Outline, str], list[Item]]
    word: Callable[[str], str] = lambda argument: ""
    is_whole: bool = False


class Ask(msgspec.Struct, frozen=True):
    """A query in its place. paths: the files of the scope. items: what `reading` took, by path.

    unread: files of the scope that could not be read at all.
    """

    ground: Ground
    argument: str
    paths: Sequence[str]
    items: Items = {}
    unread: Sequence[str] = ()


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of query.

    argument: what it takes, as `NAME`; in brackets where it may be left out; empty for nothing. counts: what
    it counts, in words. scope: where, when nothing is said; empty for what is about the fleet and no files.
    is_sum: it answers with a number that is not the number of its places, so that it cannot be counted by
    files. check: returns what is wrong with an argument.
    """

    name: str
    argument: str = ""
    counts: str
    scope: tuple[str, ...] = ("python",)
    is_sum: bool = False
    check: Callable[[str], str] = lambda argument: ""
    reading: Reading | None = None
    answer: Callable[[Ask], Answer]


def name_trouble(argument: str) -> str:
    """Return what is wrong with a name or a glob of names."""
    if _NAME.fullmatch(argument):
        return ""
    return f"`{argument}` is no name; expected such as `zmq.Context` or `_health_*`"


def regex_trouble(argument: str) -> str:
    """Return what is wrong with a regular expression."""
    try:
        re.compile(argument)
    except re.error as error:
        return f"`{argument}` is no regular expression: {error}"
    return ""


def last(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


def word_of(argument: str) -> str:
    """Return the longest piece of a glob of names that a file must hold to have such a name."""
    return max(re.split(r"[*?]+", last(argument)), key=len)


def spot_of(path: str, item: Item) -> Spot:
    """Return an item as a place."""
    return Spot(path, item.line, item.column, item.name, item.by_tokens)


def plain(ask: Ask) -> Answer:
    """Return the places of all items; files that could not be read may hold any number."""
    spots = [spot_of(path, item) for path in ask.paths for item in ask.items.get(path, ())]
    return Answer(tuple(spots), dict.fromkeys(ask.unread))
