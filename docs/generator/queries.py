"""The queries of claims, and the built-in measures of the tracker."""

from __future__ import annotations

from markdown import code, table

from argosy.refit.claims.query_registry import query_kinds
from argosy.track.builtin_measures import all_builtins


def claim_queries() -> str:
    """Return every query but those of the audit's rules, which have one row."""
    rows = [
        (code(f"{name} {kind.argument}".strip()), kind.description)
        for name, kind in query_kinds().items()
        if not name.startswith("audit.")
    ]
    rows.append((code("audit.CODE"), "findings of a rule of `argosy audit`, as `audit.Z301`, or of a family"))
    return table(("query", "counts"), rows)


def track_measures() -> str:
    """Return every measure but those of the audit's rules, which have one row."""
    rows = [
        (code(one.name), one.description, one.unit, "yes" if one.is_portable else "no")
        for one in all_builtins()
        if not one.name.startswith("audit.") or one.name.split(".")[1].islower()
    ]
    return table(("measure", "value", "unit", "portable"), rows)


REGIONS = {"claims.queries": claim_queries, "track.measures": track_measures}
