"""Queries about the text of files of any kind, and about their paths."""

from __future__ import annotations

import re

from argosy.refit.claims.query_kind import QueryContext, QueryKind, list_files, regex_error
from argosy.refit.claims.query_result import CodeLocation, QueryResult


def _match_lines(context: QueryContext) -> QueryResult:
    """Return all matches of the expression, line by line; binary files have none."""
    pattern = re.compile(context.argument)
    locations: list[CodeLocation] = []
    unread: list[str] = []
    for path in context.paths:
        if context.codebase.read_bytes(path) is None:
            unread.append(path)
            continue
        for number, line in enumerate((context.codebase.read_text(path) or "").splitlines(), 1):
            locations += [CodeLocation(path, number, match.start() + 1) for match in pattern.finditer(line)]
    return QueryResult(tuple(locations), dict.fromkeys(unread))


KINDS = (
    QueryKind(
        name="text.match",
        argument="REGEX",
        description="matches of a regular expression, line by line, including comments",
        argument_error=regex_error,
        answer=_match_lines,
    ),
    QueryKind(name="text.files", description="files of any kind", scope=("all",), answer=list_files),
)
