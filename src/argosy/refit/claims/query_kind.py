"""Kinds of queries as data, and helpers of their functions."""

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
    """One match of a query in a Python file.

    name: qualified. details: for example the bases of a class. shape: a digest of a function without names
    and constants, empty when it is not known. lines: the count of lines that are not blank.
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

    match_file: returns the matches of a file; match_tokens: of a file that does not parse. required_word: a
    file without it has no match and is not parsed; empty for any file. needs_whole_tree: files outside of the
    scope are read too.
    """

    match_file: Callable[[PythonFile, str], list[QueryMatch]]
    match_tokens: Callable[[TokenOutline, str], list[QueryMatch]]
    required_word: Callable[[str], str] = lambda argument: ""
    needs_whole_tree: bool = False


class QueryContext(msgspec.Struct, frozen=True):
    """A query to be answered. paths: the files of the scope. matches: of the kind's `matcher`, by path.

    unread: files of the scope that could not be read.
    """

    codebase: Codebase
    argument: str
    paths: Sequence[str]
    matches: MatchesByPath = {}
    unread: Sequence[str] = ()


class QueryKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of query.

    argument: its placeholder, such as `NAME`; in brackets when it is optional; empty when there is none.
    description: what it counts. scope: the default; empty for queries about the fleet. is_sum: its count is
    not the number of its places, so `unit` has no meaning. argument_error: returns what is wrong with an
    argument, or an empty string.
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
    return f"`{argument}` is not a name, expected one such as `zmq.Context` or `_health_*`"


def regex_error(argument: str) -> str:
    """Return what is wrong with a regular expression."""
    try:
        re.compile(argument)
    except re.error as error:
        return f"`{argument}` is not a regular expression: {error}"
    return ""


def last_name(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


def longest_literal(argument: str) -> str:
    """Return the longest literal part of a glob of names; a file without it has no matching name."""
    return max(re.split(r"[*?]+", last_name(argument)), key=len)


def location_of(path: str, match: QueryMatch) -> CodeLocation:
    """Return the location of a match."""
    return CodeLocation(path, match.line, match.column, match.name, match.by_tokens)


def list_matches(context: QueryContext) -> QueryResult:
    """Return the locations of all matches; files that could not be read may have any number of them."""
    locations = [location_of(path, item) for path in context.paths for item in context.matches.get(path, ())]
    return QueryResult(tuple(locations), dict.fromkeys(context.unread))


def list_files(context: QueryContext) -> QueryResult:
    """Return the files of the scope."""
    return QueryResult(tuple(CodeLocation(path) for path in context.paths))
