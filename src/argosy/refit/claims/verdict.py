"""What a claim comes to: confirmed, refuted or uncheckable, with the reason in words."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from argosy.refit.claims.answer import Answer, Bounds, Spot, bounds, unit_spots
from argosy.refit.claims.spec import Claim, Range

Word = Literal["confirmed", "refuted", "uncheckable"]
_SHOWN = 3


class Wrong(msgspec.Struct, frozen=True):
    """A claimed place that does not hold, and why."""

    place: str
    why: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One claim, judged.

    measured: None where nothing was counted. reason: one sentence. spots: what was counted. wrong: claimed
    places that are none. open: claimed places that nobody can tell about. by_tokens: how many of the places
    lie in files that do not parse. unread: files that may hold more.
    """

    claim: Claim
    word: Word
    reason: str
    measured: Bounds | None = None
    spots: tuple[Spot, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    open: tuple[str, ...] = ()
    by_tokens: int = 0
    unread: tuple[str, ...] = ()


def judge(claim: Claim, answer: Answer | None, paths: Sequence[str], known: frozenset[str]) -> Verdict:
    """Return the verdict. answer: None for a claim that needs a measurement. paths: the files that were
    looked at. known: all files of the tree.
    """
    if answer is None:
        return Verdict(claim=claim, word="uncheckable", reason=f"needs a measurement: {claim.measure}")
    if answer.trouble:
        return Verdict(claim=claim, word="uncheckable", reason=answer.trouble)
    measured = bounds(answer, claim.unit, paths)
    spots = unit_spots(answer, claim.unit, paths)
    wrong, unsure = _hold(claim, spots, answer, known)
    number = "confirmed" if claim.range is None else compare(claim.range, measured)
    word: Word = number
    if wrong:
        word = "refuted"
    elif unsure and word == "confirmed":
        word = "uncheckable"
    return Verdict(
        claim=claim,
        word=word,
        reason=_reason(claim, measured, number, wrong, unsure, answer),
        measured=measured,
        spots=spots,
        wrong=wrong,
        open=unsure,
        by_tokens=sum(spot.by_tokens for spot in answer.spots),
        unread=tuple(answer.maybe),
    )


def compare(claimed: Range, measured: Bounds) -> Word:
    """Two ranges: one inside the other is true, two apart are false, else nobody can tell."""
    least, most = claimed.least, claimed.most
    if (most is not None and measured.least > most) or (measured.most is not None and measured.most < least):
        return "refuted"
    is_within = most is None or (measured.most is not None and measured.most <= most)
    return "confirmed" if measured.least >= least and is_within else "uncheckable"


def _hold(
    claim: Claim, spots: Sequence[Spot], answer: Answer, known: frozenset[str]
) -> tuple[tuple[Wrong, ...], tuple[str, ...]]:
    """Return the claimed places that are none, and those that nobody can tell about."""
    wrong: list[Wrong] = []
    unsure: list[str] = []
    for place in claim.places:
        path, detail = _split(place, known)
        there = [spot for spot in spots if _is_path(spot.path, path)] if path else list(spots)
        if any(_is_meant(spot, detail) for spot in there):
            continue
        if any(not path or _is_path(maybe, path) for maybe in answer.maybe):
            unsure.append(place)
            continue
        wrong.append(Wrong(place, _why_not(path, detail, there, known)))
    return tuple(wrong), tuple(unsure)


def _split(place: str, known: Collection[str]) -> tuple[str, str]:
    """Return path and detail of `path`, `path:12`, `path:Class.name`; of a name alone only the detail.

    A name may have dots as files have: one is a path when files of the tree end as it does.
    """
    head, _, tail = place.partition(":")
    ends = {os.path.splitext(path)[1] for path in known} - {""}
    is_path = "/" in head or os.path.splitext(head)[1] in ends or head in known
    return (head.removeprefix("./"), tail) if is_path else ("", place)


def _is_path(path: str, claimed: str) -> bool:
    return path == claimed or path.endswith(f"/{claimed}")


def _is_meant(spot: Spot, detail: str) -> bool:
    if not detail:
        return True
    if detail.isdecimal():
        return spot.line == int(detail)
    return spot.symbol == detail or spot.symbol.endswith(f".{detail}")


def _why_not(path: str, detail: str, there: Sequence[Spot], known: frozenset[str]) -> str:
    if not path:
        return "it is not among those found"
    if not any(_is_path(one, path) for one in known):
        return "there is no such file"
    if not there:
        return "nothing of the kind is in it"
    shown = ", ".join(str(spot.line) if detail.isdecimal() else spot.symbol for spot in there[:_SHOWN])
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"in this file it is {'in line' if detail.isdecimal() else ''} {shown}{more}".replace("  ", " ")


def _reason(
    claim: Claim,
    measured: Bounds,
    number: Word,
    wrong: Sequence[Wrong],
    unsure: Sequence[str],
    answer: Answer,
) -> str:
    parts: list[str] = []
    if claim.range is not None:
        told = f"claimed {claim.range.shown()}, counted {measured.shown()}"
        if number == "uncheckable":
            count = len(answer.maybe)
            told += f": {count} {'file does' if count == 1 else 'files do'} not parse and may hold more"
        parts.append(told)
    elif measured.is_exact:
        parts.append(f"counted {measured.shown()}")
    if claim.places:
        right = len(claim.places) - len(wrong) - len(unsure)
        parts.append(f"{right} of {len(claim.places)} places hold")
        if unsure:
            parts.append(f"{len(unsure)} may lie in files that do not parse")
    return "; ".join(parts)
