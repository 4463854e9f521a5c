"""What a tree says to a query: places, what may be in files that cannot be read, a number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from argosy.refit.claims.spec import Unit


class Spot(msgspec.Struct, frozen=True, order=True):
    """One place that was counted.

    path: relative to the tree. line, column: from 1; 0 for the whole file. symbol: what stands there.
    by_tokens: it lies in a file that does not parse, and was found by its words alone.
    """

    path: str
    line: int = 0
    column: int = 0
    symbol: str = ""
    by_tokens: bool = False

    def shown(self) -> str:
        """Return `path:line symbol`, as far as there is one."""
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place} {self.symbol}".rstrip()


class Bounds(msgspec.Struct, frozen=True):
    """How many there are: at least so many, and at most; None where nobody can tell."""

    least: int
    most: int | None

    @property
    def is_exact(self) -> bool:
        return self.least == self.most

    def shown(self) -> str:
        """Return `15`, `15 to 21` or `at least 15`."""
        if self.most is None:
            return f"at least {self.least}"
        return str(self.least) if self.is_exact else f"{self.least} to {self.most}"


class Answer(msgspec.Struct, frozen=True):
    """What was found.

    maybe: files that may hold more, and how many at most; None without a bound. total: the number, where
    it is not the number of places. trouble: why the query has no answer here, else empty.
    """

    spots: tuple[Spot, ...] = ()
    maybe: Mapping[str, int | None] = {}
    total: Bounds | None = None
    trouble: str = ""


def bounds(answer: Answer, unit: Unit, scope: Collection[str]) -> Bounds:
    """Return how many units an answer counts. scope: the files that were looked at."""
    if answer.total is not None:
        return answer.total
    if unit == "place":
        return Bounds(len(answer.spots), _sum([len(answer.spots), *answer.maybe.values()]))
    holders = {spot.path for spot in answer.spots}
    either = holders | set(answer.maybe)
    if unit == "file":
        return Bounds(len(holders), len(either))
    return Bounds(len(set(scope) - either), len(set(scope) - holders))


def unit_spots(answer: Answer, unit: Unit, scope: Collection[str]) -> tuple[Spot, ...]:
    """Return the places that `unit` counts: one a file, or the files without one."""
    if unit == "place":
        return tuple(sorted(answer.spots))
    if unit == "file":
        first: dict[str, Spot] = {}
        for spot in sorted(answer.spots):
            first.setdefault(spot.path, spot)
        return tuple(first.values())
    held = {spot.path for spot in answer.spots} | set(answer.maybe)
    return tuple(Spot(path) for path in sorted(set(scope) - held))


def _sum(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
