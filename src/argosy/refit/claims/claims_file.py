"""Loads a claims file: parses the document and resolves each query and scope."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from argosy.fault import Fault, InputError
from argosy.fleet.decode import read_keys
from argosy.fleet.locations import FaultList, TextPosition
from argosy.fleet.suggestions import suggest
from argosy.refit.claims.claim_spec import (
    Claim,
    ClaimKeys,
    ClaimQuery,
    Claims,
    ClaimsKeys,
    CountRange,
    FileScope,
)
from argosy.refit.claims.file_scopes import UnknownScopeError, make_scope
from argosy.refit.claims.query_registry import QueryError, check_unit, parse_query, query_kinds

_NUMBER = r"(\d{1,3}(?:[,_]\d{3})+|\d{1,18})"
_ONE_NUMBER = re.compile(rf"(at least|at most|more than|>=|<=|>|)\s*{_NUMBER}")
_HINT = "such as `claims: {agents: {text: 84 agents, source: a review, count: fleet.agents, is: 84}}`"
_TWO_NUMBERS = re.compile(rf"{_NUMBER}\s*(?:to|-|\.\.)\s*{_NUMBER}")


def load_claims(path: str | Path, text: str | None = None) -> Claims:
    """Return the claims of the file at `path`.

    text: the content of the file, if known; `path` is then used only in faults.
    Raises InputError: all faults of the file, each with `file:line:column`.
    """
    claims, faults = read_claims(path, text)
    if faults or claims is None:
        raise InputError(*faults)
    return claims


def read_claims(path: str | Path, text: str | None = None) -> tuple[Claims | None, list[Fault]]:
    """Return the claims, None when there is a fault, and all faults in the order of the file."""
    return read_keys(path, text, ClaimsKeys, ("claims file", "argosy schema claims", _HINT), _build_claims)


def parse_count_range(text: str) -> CountRange | None:
    """Return the range of a text such as `at least 80`, None when it cannot be parsed."""
    plain = text.strip().lower()
    if bounds := _TWO_NUMBERS.fullmatch(plain):
        minimum, maximum = _number(bounds[1]), _number(bounds[2])
        return CountRange(minimum, maximum) if minimum <= maximum else None
    single = _ONE_NUMBER.fullmatch(plain)
    if single is None:
        return None
    number = _number(single[2])
    if single[1] in ("at most", "<="):
        return CountRange(0, number)
    if single[1] in ("more than", ">"):
        return CountRange(number + 1, None)
    return CountRange(number, None if single[1] else number)


def _number(digits: str) -> int:
    return int(re.sub(r"[,_]", "", digits))


def as_words(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return a value that may be one string or a list as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


def _build_claims(keys: ClaimsKeys, positions: Mapping[str, TextPosition], faults: FaultList) -> Claims:
    builder = _ClaimBuilder(keys, positions, faults)
    for name, scope in keys.scopes.items():
        builder.build_scope(as_words(scope), f"scopes.{name}", {})
    claims = tuple(builder.build_claim(name, claim) for name, claim in keys.claims.items())
    if not claims:
        faults.add(positions["claims"], "no-claims", "`claims` is empty: there is nothing to check")
    return Claims(keys.about, as_words(keys.fleet), claims)


class _ClaimBuilder:
    """Builds the claims of one file; each error is a fault with its position."""

    def __init__(self, keys: ClaimsKeys, positions: Mapping[str, TextPosition], faults: FaultList) -> None:
        self.keys = keys
        self.positions = positions
        self.faults = faults

    def build_claim(self, name: str, keys: ClaimKeys) -> Claim:
        at = f"claims.{name}"
        if bool(keys.count) == bool(keys.measure):
            found = "neither `count` nor `measure`" if not keys.count else "both `count` and `measure`"
            hint = "use `count` for what files show, `measure` for what has to be measured"
            self.add_fault(at, "count", f"`{at}` has {found}", hint)
        if keys.count and not keys.is_ and not keys.places:
            message = f"`{at}` has neither a count nor places"
            self.add_fault(at, "nothing-claimed", message, "add `is:` or `places:`")
        query = self.build_query(f"{at}.count", keys)
        return Claim(
            id=name,
            where=self.faults.format_position(self.positions[at]),
            text=keys.text,
            source=keys.source,
            query=query,
            measure=keys.measure,
            scope=self.claim_scope(at, keys, query),
            unit=keys.unit,
            range=self.build_range(f"{at}.is", keys.is_),
            places=tuple(keys.places),
        )

    def build_query(self, at: str, keys: ClaimKeys) -> ClaimQuery | None:
        if not keys.count:
            return None
        try:
            query = parse_query(keys.count)
        except QueryError as error:
            hint = suggest(error.unknown, error.known, "queries") if error.known else ""
            self.add_fault(at, "query", str(error), hint or "`argosy claims queries` lists them")
            return None
        try:
            check_unit(query, keys.unit)
        except QueryError as error:
            self.add_fault(at.replace(".count", ".unit"), "unit", str(error), "leave it out")
        return query

    def claim_scope(self, at: str, keys: ClaimKeys, query: ClaimQuery | None) -> FileScope:
        if not keys.in_:
            return make_scope(query_kinds()[query.name].scope if query else (), {})
        if query is not None and not query_kinds()[query.name].scope:
            message = f"`{query.name}` is about the fleet, not about files"
            self.add_fault(f"{at}.in", "scope", message, "leave it out")
        named = {name: as_words(scope) for name, scope in self.keys.scopes.items()}
        return self.build_scope(as_words(keys.in_), f"{at}.in", named)

    def build_scope(self, globs: Iterable[str], at: str, named: dict[str, tuple[str, ...]]) -> FileScope:
        try:
            scope = make_scope(globs, named)
        except UnknownScopeError as error:
            hint = suggest(error.name, error.known, "scopes")
            self.add_fault(at, "scope", f"there is no scope `{error.name}`, and it is not a glob", hint)
            return FileScope()
        if scope.includes_fleet and not self.keys.fleet:
            self.add_fault(at, "no-fleet", "no fleet is given", "add `fleet:` at the top of the file")
        return scope

    def build_range(self, at: str, text: str) -> CountRange | None:
        if not text:
            return None
        found = parse_count_range(text)
        if found is None:
            message = f"`{at}` is `{text}`, expected a whole number or a range"
            self.add_fault(at, "wrong-value", message, "such as `41`, `at least 80`, `at most 3`, `10 to 20`")
        return found

    def add_fault(self, at: str, code: str, message: str, hint: str) -> None:
        self.faults.add(self.positions.get(at, TextPosition(1, 1)), code, message, hint)
