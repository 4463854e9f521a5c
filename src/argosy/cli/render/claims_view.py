"""Renders verdicts on claims as text and as `claims/1`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from argosy.cli.console import paint
from argosy.refit.claims.claim_spec import Claim, ClaimQuery, CountUnit
from argosy.refit.claims.claim_verdict import ClaimVerdict
from argosy.refit.claims.codebase import Codebase
from argosy.refit.claims.query_registry import query_kinds
from argosy.refit.claims.query_result import CodeLocation, QueryResult, count_bounds, locations_by_unit

_COLOURS = {"confirmed": "dim", "refuted": "red", "uncheckable": "yellow"}
_MAX_SHOWN = 3


def claims_json(
    file: str, tree: str, target: Codebase, verdicts: Sequence[ClaimVerdict], seconds: float
) -> dict[str, Any]:
    """Return `claims/1`."""
    return {
        "argosy": "claims/1",
        "file": file,
        "tree": tree,
        "claims": [_verdict_json(verdict, tree, target) for verdict in verdicts],
        "counts": _counts(verdicts),
        "seconds": round(seconds, 3),
    }


def _verdict_json(verdict: ClaimVerdict, tree: str, target: Codebase) -> dict[str, Any]:
    claim, measured = verdict.claim, verdict.measured
    return {
        "id": claim.id,
        "where": claim.where,
        "verdict": verdict.status,
        "reason": verdict.reason,
        "text": claim.text,
        "source": claim.source,
        "claimed": None if claim.range is None else claim.range.describe(),
        "measured": None if measured is None else measured.minimum,
        "at_most": None if measured is None else measured.maximum,
        "places": [_location_json(spot) for spot in verdict.locations],
        "wrong_places": {wrong.place: wrong.reason for wrong in verdict.refuted_places},
        "open_places": list(verdict.undecided_places),
        "by_tokens": verdict.by_tokens,
        "unread": list(verdict.unread),
        "needs": claim.measure or None,
        "query": None if claim.query is None else str(claim.query),
        "rerun": None if claim.query is None else rerun_command(claim, claim.query, tree, target.fleet_paths),
    }


def _location_json(location: CodeLocation) -> dict[str, Any]:
    return {
        "path": location.path,
        "line": location.line,
        "column": location.column,
        "symbol": location.symbol,
    }


def rerun_command(claim: Claim, query: ClaimQuery, tree: str, fleet: Sequence[str]) -> str:
    """Return the command line that runs a claim's query again."""
    from argosy.refit.claims.file_scopes import make_scope  # noqa: PLC0415

    arguments = ["argosy", "claims", "count", str(query)]
    if tree != ".":
        arguments.append(tree)
    is_of_fleet = claim.scope.includes_fleet or query.name.startswith(("fleet.", "audit."))
    arguments += [word for path in fleet if is_of_fleet for word in ("--fleet", path)]
    scope = claim.scope.as_arguments()
    if scope != make_scope(query_kinds()[query.name].scope, {}).as_arguments():
        arguments += [word for glob in scope for word in ("--in", glob)]
    if claim.unit != "place":
        arguments += ["--unit", claim.unit]
    return shlex.join(arguments)


def _counts(verdicts: Sequence[ClaimVerdict]) -> dict[str, int]:
    counts = dict.fromkeys(_COLOURS, 0)
    for verdict in verdicts:
        counts[verdict.status] += 1
    return counts


def render_claims_text(tree: str, target: Codebase, verdicts: Sequence[ClaimVerdict]) -> str:
    """Return the verdicts as text: each with its reason, some places, and the command to run it again."""
    blocks = ["\n".join(_verdict_lines(verdict, tree, target)) for verdict in verdicts]
    counts = _counts(verdicts)
    totals = ", ".join(f"{count} {word}" for word, count in counts.items())
    return "\n\n".join([*blocks, f"{len(verdicts)} claims: {totals}"]) + "\n"


def _verdict_lines(verdict: ClaimVerdict, tree: str, target: Codebase) -> list[str]:
    claim = verdict.claim
    lines = [
        f"{paint(verdict.status, _COLOURS[verdict.status])}  {claim.id}: {claim.text}",
        f"  by {claim.source}",
        f"  {verdict.reason}",
    ]
    lines += [f"  refuted: {wrong.place}: {wrong.reason}" for wrong in verdict.refuted_places]
    if verdict.by_tokens:
        lines.append(f"  {verdict.by_tokens} of them in files that do not parse, found by tokens")
    if verdict.status != "confirmed" and verdict.locations:
        more = len(verdict.locations) - _MAX_SHOWN
        shown = ", ".join(spot.describe() for spot in verdict.locations[:_MAX_SHOWN])
        lines.append(f"  found: {shown}{f' and {more} more' if more > 0 else ''}")
    if claim.query is not None:
        lines.append(f"  run again: {rerun_command(claim, claim.query, tree, target.fleet_paths)}")
    return lines


def count_json(
    query: ClaimQuery, answer: QueryResult, unit: CountUnit, paths: Sequence[str]
) -> dict[str, Any]:
    """Return `claims-count/1`."""
    measured = count_bounds(answer, unit, paths)
    return {
        "argosy": "claims-count/1",
        "query": str(query),
        "unit": unit,
        "files": len(paths),
        "measured": measured.minimum,
        "at_most": measured.maximum,
        "places": [_location_json(spot) for spot in locations_by_unit(answer, unit, paths)],
        "unread": list(answer.possible),
    }


def count_text(answer: QueryResult, unit: CountUnit, paths: Sequence[str]) -> str:
    """Return the places, one on each line, then the count."""
    lines = [spot.describe() for spot in locations_by_unit(answer, unit, paths)]
    if answer.possible:
        count = len(answer.possible)
        lines.append(f"{count} {'file does' if count == 1 else 'files do'} not parse and may hold more")
    lines.append(count_bounds(answer, unit, paths).describe())
    return "\n".join(lines) + "\n"
