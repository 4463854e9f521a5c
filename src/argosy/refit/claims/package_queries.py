"""Queries about packages in requirement files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec

from argosy.refit.claims.query_kind import QueryContext, QueryKind
from argosy.refit.claims.query_result import CodeLocation, CountBounds, QueryResult

# A line of a requirement file (PEP 508): a name, optional extras, and a version specifier.
_LINE = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;#]*)")


class RequirementLine(msgspec.Struct, frozen=True):
    """One line. name: normalized (PEP 503). versions: the specifier without spaces; empty for any version."""

    path: str
    line: int
    name: str
    versions: str

    def location(self) -> CodeLocation:
        return CodeLocation(self.path, self.line, 1, f"{self.name}{self.versions}")


def normalize_package(name: str) -> str:
    """Return the normalized name of a package (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirement_lines(context: QueryContext) -> Iterator[RequirementLine]:
    for path in context.paths:
        for number, line in enumerate((context.codebase.read_text(path) or "").splitlines(), 1):
            match = _LINE.match(line)
            if match is not None:
                versions = re.sub(r"\s+(?:--hash\S*|\\)?|@\s*", "", match[2])
                yield RequirementLine(path, number, normalize_package(match[1]), versions)


def _find_named(context: QueryContext) -> QueryResult:
    wanted = normalize_package(context.argument) if context.argument else "*"
    return QueryResult(
        tuple(item.location() for item in _requirement_lines(context) if fnmatchcase(item.name, wanted))
    )


def _find_unpinned(context: QueryContext) -> QueryResult:
    return QueryResult(
        tuple(item.location() for item in _requirement_lines(context) if not item.versions.startswith("=="))
    )


def _find_different(context: QueryContext) -> QueryResult:
    """Return the count of packages whose lines differ; the places are their lines."""
    by_name: dict[str, list[RequirementLine]] = {}
    for item in _requirement_lines(context):
        by_name.setdefault(item.name, []).append(item)
    differing = [items for items in by_name.values() if len({item.versions for item in items}) > 1]
    locations = tuple(item.location() for items in differing for item in items)
    return QueryResult(locations, {}, CountBounds(len(differing), len(differing)))


def _count_distinct(context: QueryContext) -> QueryResult:
    items = list(_requirement_lines(context))
    count = len({item.name for item in items})
    return QueryResult(tuple(item.location() for item in items), {}, CountBounds(count, count))


def _name_error(argument: str) -> str:
    if not argument or re.fullmatch(r"[A-Za-z0-9*?][A-Za-z0-9._*?-]*", argument):
        return ""
    return f"`{argument}` is not the name of a package"


_DEFAULT_SCOPE = ("requirements",)

KINDS = (
    QueryKind(
        name="packages.listed",
        argument="[NAME]",
        description="lines of requirement files that name a package",
        scope=_DEFAULT_SCOPE,
        argument_error=_name_error,
        answer=_find_named,
    ),
    QueryKind(
        name="packages.distinct",
        description="distinct packages in requirement files",
        scope=_DEFAULT_SCOPE,
        is_sum=True,
        answer=_count_distinct,
    ),
    QueryKind(
        name="packages.unpinned",
        description="lines of requirement files that do not pin a version",
        scope=_DEFAULT_SCOPE,
        answer=_find_unpinned,
    ),
    QueryKind(
        name="packages.different",
        description="packages whose lines in requirement files have different versions",
        scope=_DEFAULT_SCOPE,
        is_sum=True,
        answer=_find_different,
    ),
)
