"""Queries about functions: by name, and by shape (their code without names and constants)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from argosy.refit.analysis.facts.code_fragments import iter_shape_digests
from argosy.refit.claims.query_kind import (
    FileMatcher,
    QueryContext,
    QueryKind,
    QueryMatch,
    last_name,
    list_matches,
    location_of,
    longest_literal,
    name_error,
)
from argosy.refit.claims.query_result import CodeLocation, CountBounds, QueryResult
from argosy.refit.claims.token_outline import TokenOutline
from argosy.refit.core.source_file import PythonFile


def _functions_named(file: PythonFile, argument: str) -> list[QueryMatch]:
    return [item for item in _all_functions(file) if _matches_name(item.name, argument)]


def _all_functions(file: PythonFile) -> Iterator[QueryMatch]:
    for node, name, shape in iter_shape_digests(file):
        if not isinstance(node, ast.ClassDef):
            lines = file.lines[node.lineno - 1 : node.end_lineno]
            yield QueryMatch(
                node.lineno,
                file.parsed.column(node),
                name,
                (),
                shape,
                sum(1 for line in lines if line.strip()),
            )


def _matches_name(name: str, argument: str) -> bool:
    if "." not in argument:
        return fnmatchcase(last_name(name), argument)
    return fnmatchcase(name, argument) or fnmatchcase(name, f"*.{argument}")


def _functions_from_tokens(outline: TokenOutline, argument: str) -> list[QueryMatch]:
    return [
        QueryMatch(item.line, item.column, item.name, (), b"", item.lines)
        for item in outline.definitions
        if item.kind == "def" and _matches_name(item.name, argument)
    ]


def _group_by_shape(context: QueryContext) -> tuple[dict[bytes, list[CodeLocation]], dict[str, int | None]]:
    """Return the functions by shape, and for each file the count of functions without a known shape."""
    groups: dict[bytes, list[CodeLocation]] = {}
    unknown: dict[str, int | None] = dict.fromkeys(context.unread)
    for path in context.paths:
        items = context.matches.get(path, ())
        for item in items:
            if item.shape:
                groups.setdefault(item.shape, []).append(location_of(path, item))
        shapeless = sum(1 for item in items if not item.shape)
        if shapeless and path not in unknown:
            unknown[path] = shapeless
    return groups, unknown


def _largest_identical_group(context: QueryContext) -> QueryResult:
    """Return the largest group of functions of one shape; one of unknown shape may be in any group."""
    groups, unknown = _group_by_shape(context)
    largest = max(groups.values(), key=len, default=[])
    return QueryResult(tuple(largest), unknown, _bounds_with_unknown(len(largest), unknown))


def _count_variants(context: QueryContext) -> QueryResult:
    """Return the count of shapes; a function of unknown shape may have another one."""
    groups, unknown = _group_by_shape(context)
    locations = tuple(location for group in groups.values() for location in group)
    return QueryResult(locations, unknown, _bounds_with_unknown(len(groups), unknown))


def _bounds_with_unknown(count: int, unknown: Mapping[str, int | None]) -> CountBounds:
    """Return the bounds of a count to which any number of the unknown functions may add."""
    known = [number for number in unknown.values() if number is not None]
    maximum = count + sum(known) if len(known) == len(unknown) else None
    return CountBounds(count or int(bool(known)), maximum)


def _count_lines(context: QueryContext) -> QueryResult:
    result = list_matches(context)
    total = sum(item.lines for path in context.paths for item in context.matches.get(path, ()))
    return QueryResult(result.locations, {}, CountBounds(total, None if context.unread else total))


def _all_functions_of(file: PythonFile, argument: str) -> list[QueryMatch]:
    return list(_all_functions(file))


def _functions_without_shape(outline: TokenOutline, argument: str) -> list[QueryMatch]:
    return [
        QueryMatch(item.line, item.column, item.name) for item in outline.definitions if item.kind == "def"
    ]


def _similar_functions(context: QueryContext) -> QueryResult:
    """Return the functions with the shape of one function; those of unknown shape may match."""
    path, _, name = context.argument.rpartition(":")
    reference = next((item for item in context.matches.get(path, ()) if item.name == name), None)
    if reference is None or not reference.shape:
        reason = "does not parse" if reference is not None else "does not exist"
        return QueryResult(error=f"the function `{name}` in `{path}` {reason}")
    locations, possible = [], {}
    for other in context.paths:
        items = context.matches.get(other, ())
        locations += [location_of(other, item) for item in items if item.shape == reference.shape]
        unknown = sum(1 for item in items if not item.shape)
        if unknown:
            possible[other] = unknown
    return QueryResult(tuple(locations), {**possible, **dict.fromkeys(context.unread)})


def _similar_error(argument: str) -> str:
    path, _, name = argument.rpartition(":")
    if path.endswith(".py") and name:
        return ""
    return f"`{argument}` is not a function, expected one such as `agents/translator.py:Translator.loop`"


_MATCH_BY_NAME = FileMatcher(_functions_named, _functions_from_tokens, longest_literal)

KINDS = (
    QueryKind(
        name="python.functions",
        argument="NAME",
        description="function definitions with a name (`start`, `Translator.start`, `_health_*`)",
        argument_error=name_error,
        matcher=_MATCH_BY_NAME,
        answer=list_matches,
    ),
    QueryKind(
        name="python.same",
        argument="NAME",
        description="functions with a name: the largest group that is equal except for names and constants",
        is_sum=True,
        argument_error=name_error,
        matcher=_MATCH_BY_NAME,
        answer=_largest_identical_group,
    ),
    QueryKind(
        name="python.variants",
        argument="NAME",
        description="functions with a name: variants that differ in more than names and constants",
        is_sum=True,
        argument_error=name_error,
        matcher=_MATCH_BY_NAME,
        answer=_count_variants,
    ),
    QueryKind(
        name="python.lines",
        argument="NAME",
        description="lines of the functions with a name, without blank lines",
        is_sum=True,
        argument_error=name_error,
        matcher=_MATCH_BY_NAME,
        answer=_count_lines,
    ),
    QueryKind(
        name="python.like",
        argument="PATH:NAME",
        description="functions with any name that equal this one except for names and constants",
        argument_error=_similar_error,
        matcher=FileMatcher(_all_functions_of, _functions_without_shape, needs_whole_tree=True),
        answer=_similar_functions,
    ),
)
