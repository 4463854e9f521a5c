"""Verdicts on claims as text and as `claims/1`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from argosy.cli.report import paint
from argosy.refit.claims.answer import Answer, Spot, bounds, unit_spots
from argosy.refit.claims.ground import Ground
from argosy.refit.claims.kinds import all_kinds
from argosy.refit.claims.spec import Claim, Query, Unit
from argosy.refit.claims.verdict import Verdict

_COLOURS = {"confirmed": "dim", "refuted": "red", "uncheckable": "yellow"}
_SHOWN = 3


def as_object(
    file: str, tree: str, ground: Ground, verdicts: Sequence[Verdict], seconds: float
) -> dict[str, Any]:
    """Return `claims/1`."""
    return {
        "argosy": "claims/1",
        "file": file,
        "tree": tree,
        "claims": [_verdict(verdict, tree, ground) for verdict in verdicts],
        "counts": _counts(verdicts),
        "seconds": round(seconds, 3),
    }


def _verdict(verdict: Verdict, tree: str, ground: Ground) -> dict[str, Any]:
    claim, measured = verdict.claim, verdict.measured
    return {
        "id": claim.id,
        "where": claim.where,
        "verdict": verdict.word,
        "reason": verdict.reason,
        "text": claim.text,
        "source": claim.source,
        "claimed": None if claim.range is None else claim.range.shown(),
        "measured": None if measured is None else measured.least,
        "at_most": None if measured is None else measured.most,
        "places": [_spot(spot) for spot in verdict.spots],
        "wrong_places": {wrong.place: wrong.why for wrong in verdict.wrong},
        "open_places": list(verdict.open),
        "by_tokens": verdict.by_tokens,
        "unread": list(verdict.unread),
        "needs": claim.measure or None,
        "query": None if claim.query is None else str(claim.query),
        "rerun": None if claim.query is None else command(claim, claim.query, tree, ground.fleet_paths),
    }


def _spot(spot: Spot) -> dict[str, Any]:
    return {"path": spot.path, "line": spot.line, "column": spot.column, "symbol": spot.symbol}


def command(claim: Claim, query: Query, tree: str, fleet: Sequence[str]) -> str:
    """Return the command line that asks a claim's query again."""
    words = ["argosy", "claims", "count", str(query)]
    if tree != ".":
        words.append(tree)
    is_of_fleet = claim.scope.fleet or query.name.startswith(("fleet.", "audit."))
    words += [word for path in fleet if is_of_fleet for word in ("--fleet", path)]
    usual = all_kinds()[query.name].scope
    scope = claim.scope.words()
    if scope != _usual(usual):
        words += [word for glob in scope for word in ("--in", glob)]
    if claim.unit != "place":
        words += ["--unit", claim.unit]
    return shlex.join(words)


def _usual(names: Sequence[str]) -> tuple[str, ...]:
    from argosy.refit.claims.scopes import make_scope  # noqa: PLC0415

    return make_scope(names, {}).words()


def _counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    counts = dict.fromkeys(_COLOURS, 0)
    for verdict in verdicts:
        counts[verdict.word] += 1
    return counts


def render_text(tree: str, ground: Ground, verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts for people: each with its reason, a few places, and the command to ask again."""
    blocks = ["\n".join(_lines(verdict, tree, ground)) for verdict in verdicts]
    counts = _counts(verdicts)
    account = ", ".join(f"{count} {word}" for word, count in counts.items())
    return "\n\n".join([*blocks, f"{len(verdicts)} claims: {account}"]) + "\n"


def _lines(verdict: Verdict, tree: str, ground: Ground) -> list[str]:
    claim = verdict.claim
    lines = [
        f"{paint(verdict.word, _COLOURS[verdict.word])}  {claim.id}: {claim.text}",
        f"  by {claim.source}",
        f"  {verdict.reason}",
    ]
    lines += [f"  not so: {wrong.place}: {wrong.why}" for wrong in verdict.wrong]
    if verdict.by_tokens:
        lines.append(f"  {verdict.by_tokens} of them in files that do not parse, found by their words")
    if verdict.word != "confirmed" and verdict.spots:
        more = len(verdict.spots) - _SHOWN
        shown = ", ".join(spot.shown() for spot in verdict.spots[:_SHOWN])
        lines.append(f"  found: {shown}{f' and {more} more' if more > 0 else ''}")
    if claim.query is not None:
        lines.append(f"  ask again: {command(claim, claim.query, tree, ground.fleet_paths)}")
    return lines


def counted_object(query: Query, answer: Answer, unit: Unit, paths: Sequence[str]) -> dict[str, Any]:
    """Return `claims-count/1`."""
    measured = bounds(answer, unit, paths)
    return {
        "argosy": "claims-count/1",
        "query": str(query),
        "unit": unit,
        "files": len(paths),
        "measured": measured.least,
        "at_most": measured.most,
        "places": [_spot(spot) for spot in unit_spots(answer, unit, paths)],
        "unread": list(answer.maybe),
    }


def counted_text(answer: Answer, unit: Unit, paths: Sequence[str]) -> str:
    """Return the places, one a line, then how many units were counted."""
    lines = [spot.shown() for spot in unit_spots(answer, unit, paths)]
    if answer.maybe:
        count = len(answer.maybe)
        lines.append(f"{count} {'file does' if count == 1 else 'files do'} not parse and may hold more")
    lines.append(bounds(answer, unit, paths).shown())
    return "\n".join(lines) + "\n"
