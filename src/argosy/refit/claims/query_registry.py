"""The registry of all kinds of queries, and the parser of queries."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from argosy.refit.claims import (
    audit_queries,
    class_queries,
    fleet_queries,
    function_queries,
    package_queries,
    python_queries,
    text_queries,
)
from argosy.refit.claims.claim_spec import ClaimQuery, CountUnit
from argosy.refit.claims.query_kind import QueryKind


class QueryError(ValueError):
    """An invalid query. unknown: the unknown name. known: the names that are valid in its place."""

    def __init__(self, message: str, unknown: str = "", known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.unknown = unknown
        self.known = known


@cache
def query_kinds() -> Mapping[str, QueryKind]:
    """Return the kinds by name; those of the audit are last."""
    modules = (
        python_queries.KINDS,
        function_queries.KINDS,
        class_queries.KINDS,
        text_queries.KINDS,
        fleet_queries.KINDS,
        package_queries.KINDS,
    )
    found = [*(kind for kinds in modules for kind in kinds), *audit_queries.make_query_kinds()]
    return {kind.name: kind for kind in found}


def parse_query(text: str) -> ClaimQuery:
    """Return the query of a text: the name of a kind, then its argument.

    Raises QueryError: there is no such kind, or the argument is not valid for it.
    """
    name, _, argument = text.strip().partition(" ")
    argument = argument.strip()
    kind = query_kinds().get(name)
    if kind is None:
        raise QueryError(f"there is no query `{name}`", name, tuple(query_kinds()))
    if argument and not kind.argument:
        raise QueryError(f"`{name}` takes no argument, found `{argument}`")
    if not argument and kind.argument and not kind.argument.startswith("["):
        raise QueryError(f"`{name}` needs the argument {kind.argument}")
    error = kind.argument_error(argument) if kind.argument else ""
    if error:
        raise QueryError(error)
    return ClaimQuery(name, argument)


def check_unit(query: ClaimQuery, unit: CountUnit) -> None:
    """Raise QueryError: `query` cannot count by files."""
    kind = query_kinds()[query.name]
    if unit != "place" and (kind.is_sum or not kind.scope):
        raise QueryError(f"`{query.name}` does not count places in files, so `unit: {unit}` has no meaning")
