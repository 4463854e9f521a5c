"""A kind of query as data, and what answers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from argosy.refit.claims.codebase import Codebase
from argosy.refit.claims.query_result import CodeLocation, QueryResult
from argosy.refit.claims.token_outline import TokenOutline
from argosy.refit.core.source_file import PythonFile

_NAME = re.compile(r"[\w*?.]+")


class QueryMatch(msgspec.Struct, frozen=True, array_like=True):
    """What one Python file tells to a query.

    name: qualified. more: such as the bases of a class. shape: what a function does, empty where that is not
    known. lines: how many there are, blank ones left out.
    """

    line: int
    column: int
    name: str
    details: tuple[str, ...] = ()
    shape: bytes = b""
    lines: int = 0
    by_tokens: bool = False


MatchesByPath = Mapping[str, Sequence[QueryMatch]]


class FileMatcher(msgspec.Struct, frozen=True):
    """How a query reads Python files.

    file: takes what it wants from a file. broken: the same from one that does not parse. word: what a file
    has to hold, else it is not opened as Python; empty for any. is_whole: it wants the files outside the
    scope too.
    """

    match_file: Callable[[PythonFile, str], list[QueryMatch]]
    match_tokens: Callable[[TokenOutline, str], list[QueryMatch]]
    required_word: Callable[[str], str] = lambda argument: ""
    needs_whole_tree: bool = False


class QueryContext(msgspec.Struct, frozen=True):
    """A query in its place. paths: the files of the scope. items: what `reading` took, by path.

    unread: files of the scope that could not be read at all.
    """

    codebase: Codebase
    argument: str
    paths: Sequence[str]
    matches: MatchesByPath = {}
    unread: Sequence[str] = ()


class QueryKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of query.

    argument: what it takes, as `NAME`; in brackets where it may be left out; empty for nothing. counts: what
    it counts, in words. scope: where, when nothing is said; empty for what is about the fleet and no files.
    is_sum: it answers with a number that is not the number of its places, so that it cannot be counted by
    files. check: returns what is wrong with an argument.
    """

    name: str
    argument: str = ""
    description: str
    scope: tuple[str, ...] = ("python",)
    is_sum: bool = False
    argument_error: Callable[[str], str] = lambda argument: ""
    matcher: FileMatcher | None = None
    answer: Callable[[QueryContext], QueryResult]


def name_error(argument: str) -> str:
    """Return what is wrong with a name or a glob of names."""
    if _NAME.fullmatch(argument):
        return ""
    return f"`{argument}` is no name; expected such as `zmq.Context` or `_health_*`"


def regex_error(argument: str) -> str:
    """Return what is wrong with a regular expression."""
    try:
        re.compile(argument)
    except re.error as error:
        return f"`{argument}` is no regular expression: {error}"
    return ""


def last_name(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


def longest_literal(argument: str) -> str:
    """Return the longest piece of a glob of names that a file must hold to have such a name."""
    return max(re.split(r"[*?]+", last_name(argument)), key=len)


def location_of(path: str, item: QueryMatch) -> CodeLocation:
    """Return an item as a place."""
    return CodeLocation(path, item.line, item.column, item.name, item.by_tokens)


def list_matches(context: QueryContext) -> QueryResult:
    """Return the places of all items; files that could not be read may hold any number."""
    locations = [location_of(path, item) for path in context.paths for item in context.matches.get(path, ())]
    return QueryResult(tuple(locations), dict.fromkeys(context.unread))
