"""What a claim comes to: confirmed, refuted or uncheckable, with the reason in words."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from argosy.refit.claims.claim_spec import Claim, CountRange
from argosy.refit.claims.query_result import (
    CodeLocation,
    CountBounds,
    QueryResult,
    count_bounds,
    locations_by_unit,
)

VerdictStatus = Literal["confirmed", "refuted", "uncheckable"]
_MAX_LISTED = 3


class RefutedPlace(msgspec.Struct, frozen=True):
    """A claimed place that does not hold, and why."""

    place: str
    reason: str


class ClaimVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One claim, judged.

    measured: None where nothing was counted. reason: one sentence. spots: what was counted. wrong: claimed
    places that are none. open: claimed places that nobody can tell about. by_tokens: how many of the places
    lie in files that do not parse. unread: files that may hold more.
    """

    claim: Claim
    status: VerdictStatus
    reason: str
    measured: CountBounds | None = None
    locations: tuple[CodeLocation, ...] = ()
    refuted_places: tuple[RefutedPlace, ...] = ()
    undecided_places: tuple[str, ...] = ()
    by_tokens: int = 0
    unread: tuple[str, ...] = ()


def evaluate_claim(
    claim: Claim, result: QueryResult | None, paths: Sequence[str], known: frozenset[str]
) -> ClaimVerdict:
    """Return the verdict. answer: None for a claim that needs a measurement. paths: the files that were
    looked at. known: all files of the tree.
    """
    if result is None:
        return ClaimVerdict(claim=claim, status="uncheckable", reason=f"needs a measurement: {claim.measure}")
    if result.error:
        return ClaimVerdict(claim=claim, status="uncheckable", reason=result.error)
    measured = count_bounds(result, claim.unit, paths)
    locations = locations_by_unit(result, claim.unit, paths)
    refuted, undecided = _check_places(claim, locations, result, known)
    count_status = "confirmed" if claim.range is None else compare_counts(claim.range, measured)
    status: VerdictStatus = count_status
    if refuted:
        status = "refuted"
    elif undecided and status == "confirmed":
        status = "uncheckable"
    return ClaimVerdict(
        claim=claim,
        status=status,
        reason=_describe_verdict(claim, measured, count_status, refuted, undecided, result),
        measured=measured,
        locations=locations,
        refuted_places=refuted,
        undecided_places=undecided,
        by_tokens=sum(spot.by_tokens for spot in result.locations),
        unread=tuple(result.possible),
    )


def compare_counts(claimed: CountRange, measured: CountBounds) -> VerdictStatus:
    """Two ranges: one inside the other is true, two apart are false, else nobody can tell."""
    minimum, maximum = claimed.minimum, claimed.maximum
    if (maximum is not None and measured.minimum > maximum) or (
        measured.maximum is not None and measured.maximum < minimum
    ):
        return "refuted"
    is_below_maximum = maximum is None or (measured.maximum is not None and measured.maximum <= maximum)
    return "confirmed" if measured.minimum >= minimum and is_below_maximum else "uncheckable"


def _check_places(
    claim: Claim, locations: Sequence[CodeLocation], result: QueryResult, known: frozenset[str]
) -> tuple[tuple[RefutedPlace, ...], tuple[str, ...]]:
    """Return the claimed places that are none, and those that nobody can tell about."""
    refuted: list[RefutedPlace] = []
    undecided: list[str] = []
    for place in claim.places:
        path, detail = _split_place(place, known)
        in_path = [spot for spot in locations if _matches_path(spot.path, path)] if path else list(locations)
        if any(_matches_detail(spot, detail) for spot in in_path):
            continue
        if any(not path or _matches_path(maybe, path) for maybe in result.possible):
            undecided.append(place)
            continue
        refuted.append(RefutedPlace(place, _refutation_reason(path, detail, in_path, known)))
    return tuple(refuted), tuple(undecided)


def _split_place(place: str, known: Collection[str]) -> tuple[str, str]:
    """Return path and detail of `path`, `path:12`, `path:Class.name`; of a name alone only the detail.

    A name may have dots as files have: one is a path when files of the tree end as it does.
    """
    head, _, tail = place.partition(":")
    ends = {os.path.splitext(path)[1] for path in known} - {""}
    is_path = "/" in head or os.path.splitext(head)[1] in ends or head in known
    return (head.removeprefix("./"), tail) if is_path else ("", place)


def _matches_path(path: str, claimed: str) -> bool:
    return path == claimed or path.endswith(f"/{claimed}")


def _matches_detail(location: CodeLocation, detail: str) -> bool:
    if not detail:
        return True
    if detail.isdecimal():
        return location.line == int(detail)
    return location.symbol == detail or location.symbol.endswith(f".{detail}")


def _refutation_reason(path: str, detail: str, in_path: Sequence[CodeLocation], known: frozenset[str]) -> str:
    if not path:
        return "it is not among those found"
    if not any(_matches_path(one, path) for one in known):
        return "there is no such file"
    if not in_path:
        return "nothing of the kind is in it"
    listed = ", ".join(
        str(spot.line) if detail.isdecimal() else spot.symbol for spot in in_path[:_MAX_LISTED]
    )
    more = f" and {len(in_path) - _MAX_LISTED} more" if len(in_path) > _MAX_LISTED else ""
    return f"in this file it is {'in line' if detail.isdecimal() else ''} {listed}{more}".replace("  ", " ")


def _describe_verdict(
    claim: Claim,
    measured: CountBounds,
    count_status: VerdictStatus,
    refuted: Sequence[RefutedPlace],
    undecided: Sequence[str],
    result: QueryResult,
) -> str:
    parts: list[str] = []
    if claim.range is not None:
        count_text = f"claimed {claim.range.describe()}, counted {measured.describe()}"
        if count_status == "uncheckable":
            count = len(result.possible)
            count_text += f": {count} {'file does' if count == 1 else 'files do'} not parse and may hold more"
        parts.append(count_text)
    elif measured.is_exact:
        parts.append(f"counted {measured.describe()}")
    if claim.places:
        holding = len(claim.places) - len(refuted) - len(undecided)
        parts.append(f"{holding} of {len(claim.places)} places hold")
        if undecided:
            parts.append(f"{len(undecided)} may lie in files that do not parse")
    return "; ".join(parts)
