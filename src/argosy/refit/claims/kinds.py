"""All kinds of queries, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from argosy.refit.claims import audits, classes, fleets, functions, packages, python, texts
from argosy.refit.claims.kind import Kind
from argosy.refit.claims.spec import Query, Unit


class QueryError(ValueError):
    """A query that cannot be asked. known: the words that could stand in place of a wrong one."""

    def __init__(self, message: str, word: str = "", known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.word = word
        self.known = known


@cache
def all_kinds() -> Mapping[str, Kind]:
    """Return the kinds by name, families after the rules of an audit."""
    rooms = (python.KINDS, functions.KINDS, classes.KINDS, texts.KINDS, fleets.KINDS, packages.KINDS)
    found = [*(kind for room in rooms for kind in room), *audits.make_kinds()]
    return {kind.name: kind for kind in found}


def parse_query(text: str) -> Query:
    """Return the query that a line of text asks: the kind, then its argument.

    Raises QueryError: there is no such kind, or the argument does not fit it.
    """
    name, _, argument = text.strip().partition(" ")
    argument = argument.strip()
    kind = all_kinds().get(name)
    if kind is None:
        raise QueryError(f"there is no query `{name}`", name, tuple(all_kinds()))
    if argument and not kind.argument:
        raise QueryError(f"`{name}` takes nothing, and has `{argument}`")
    if not argument and kind.argument and not kind.argument.startswith("["):
        raise QueryError(f"`{name}` takes {kind.argument}, and has nothing")
    trouble = kind.check(argument) if kind.argument else ""
    if trouble:
        raise QueryError(trouble)
    return Query(name, argument)


def check_unit(query: Query, unit: Unit) -> None:
    """Raise QueryError when what `query` counts cannot be counted by files."""
    kind = all_kinds()[query.name]
    if unit != "place" and (kind.is_sum or not kind.scope):
        raise QueryError(f"`{query.name}` does not count places in files, so `unit: {unit}` has no meaning")
