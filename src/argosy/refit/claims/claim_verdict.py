"""Evaluates a claim: confirmed, refuted or uncheckable, with the reason."""

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
    """A claimed place that is not among the matches, and why."""

    place: str
    reason: str


class ClaimVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one claim.

    measured: None when nothing was counted. reason: one sentence. locations: the counted places.
    refuted_places: claimed places that are not among them. undecided_places: claimed places in files that
    cannot be read. by_tokens: how many places are in files that do not parse. unread: files that may have
    more places.
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
    """Return the verdict on a claim.

    result: None for a claim that needs a measurement. paths: the files that were read. known: all files of
    the tree.
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
        by_tokens=sum(location.by_tokens for location in result.locations),
        unread=tuple(result.possible),
    )


def compare_counts(claimed: CountRange, measured: CountBounds) -> VerdictStatus:
    """Return `confirmed` when `measured` is inside `claimed`, `refuted` when they are disjoint.

    Return `uncheckable` when they overlap otherwise.
    """
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
    """Return the claimed places that are not matches, and those that cannot be decided."""
    refuted: list[RefutedPlace] = []
    undecided: list[str] = []
    for place in claim.places:
        path, detail = _split_place(place, known)
        in_path = [each for each in locations if _matches_path(each.path, path)] if path else list(locations)
        if any(_matches_detail(location, detail) for location in in_path):
            continue
        if any(not path or _matches_path(possible, path) for possible in result.possible):
            undecided.append(place)
            continue
        refuted.append(RefutedPlace(place, _refutation_reason(path, detail, in_path, known)))
    return tuple(refuted), tuple(undecided)


def _split_place(place: str, known: Collection[str]) -> tuple[str, str]:
    """Return path and detail of `path`, `path:12`, `path:Class.name`; of a name alone only the detail.

    A name with dots is a path when files of the tree have its suffix.
    """
    head, _, tail = place.partition(":")
    suffixes = {os.path.splitext(path)[1] for path in known} - {""}
    is_path = "/" in head or os.path.splitext(head)[1] in suffixes or head in known
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
        return "it is not among the matches"
    if not any(_matches_path(each, path) for each in known):
        return "there is no such file"
    if not in_path:
        return "the file has no match"
    listed = ", ".join(
        str(location.line) if detail.isdecimal() else location.symbol for location in in_path[:_MAX_LISTED]
    )
    more = f" and {len(in_path) - _MAX_LISTED} more" if len(in_path) > _MAX_LISTED else ""
    return f"in this file it is {'in line ' if detail.isdecimal() else ''}{listed}{more}"


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
            count_text += f": {count} {'file does' if count == 1 else 'files do'} not parse and may have more"
        parts.append(count_text)
    elif measured.is_exact:
        parts.append(f"counted {measured.describe()}")
    if claim.places:
        confirmed = len(claim.places) - len(refuted) - len(undecided)
        parts.append(f"{confirmed} of {len(claim.places)} places are confirmed")
        if undecided:
            parts.append(f"{len(undecided)} may be in files that do not parse")
    return "; ".join(parts)
