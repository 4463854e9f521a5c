"""Results of queries: places, bounds for files that cannot be read, and counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from argosy.refit.claims.claim_spec import CountUnit


class CodeLocation(msgspec.Struct, frozen=True, order=True):
    """One counted place.

    path: relative to the tree. line, column: from 1; 0 for the whole file. symbol: the name at this place.
    by_tokens: found by tokens in a file that does not parse.
    """

    path: str
    line: int = 0
    column: int = 0
    symbol: str = ""
    by_tokens: bool = False

    def describe(self) -> str:
        """Return `path:line symbol`, without the parts that are empty."""
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place} {self.symbol}".rstrip()


class CountBounds(msgspec.Struct, frozen=True):
    """Bounds of a count, inclusive. maximum: None when it is not known."""

    minimum: int
    maximum: int | None

    @property
    def is_exact(self) -> bool:
        return self.minimum == self.maximum

    def describe(self) -> str:
        """Return `15`, `15 to 21` or `at least 15`."""
        if self.maximum is None:
            return f"at least {self.minimum}"
        return str(self.minimum) if self.is_exact else f"{self.minimum} to {self.maximum}"


class QueryResult(msgspec.Struct, frozen=True):
    """The result of a query.

    possible: files that may have more places, and how many at most; None without a bound. total: the count,
    when it is not the number of places. error: why the query has no result; empty when it has one.
    """

    locations: tuple[CodeLocation, ...] = ()
    possible: Mapping[str, int | None] = {}
    total: CountBounds | None = None
    error: str = ""


def count_bounds(result: QueryResult, unit: CountUnit, scope: Collection[str]) -> CountBounds:
    """Return the count of units in a result. scope: the files that were read."""
    if result.total is not None:
        return result.total
    if unit == "place":
        return CountBounds(
            len(result.locations), _sum_bounded([len(result.locations), *result.possible.values()])
        )
    files_with = {location.path for location in result.locations}
    files_possible = files_with | set(result.possible)
    if unit == "file":
        return CountBounds(len(files_with), len(files_possible))
    return CountBounds(len(set(scope) - files_possible), len(set(scope) - files_with))


def locations_by_unit(
    result: QueryResult, unit: CountUnit, scope: Collection[str]
) -> tuple[CodeLocation, ...]:
    """Return the places that `unit` counts: all, one for each file, or the files without one."""
    if unit == "place":
        return tuple(sorted(result.locations))
    if unit == "file":
        first: dict[str, CodeLocation] = {}
        for location in sorted(result.locations):
            first.setdefault(location.path, location)
        return tuple(first.values())
    files_possible = {location.path for location in result.locations} | set(result.possible)
    return tuple(CodeLocation(path) for path in sorted(set(scope) - files_possible))


def _sum_bounded(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
