"""Loads a file of claims: text to document, document to structs, each query and scope understood."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.fault import Fault, InputError
from argosy.fleet.decode import Decoder, shown
from argosy.fleet.document import Mapping, read_document
from argosy.fleet.places import FaultList, Place, displayed
from argosy.fleet.spelling import suggestion
from argosy.refit.claims.kinds import QueryError, all_kinds, check_unit, parse_query
from argosy.refit.claims.scopes import UnknownScopeError, make_scope
from argosy.refit.claims.spec import Claim, ClaimKeys, Claims, ClaimsKeys, Query, Range, Scope

if TYPE_CHECKING:
    from argosy.fleet.document import Node

_NUMBER = r"(\d{1,3}(?:[,_]\d{3})+|\d{1,18})"
_ONE = re.compile(rf"(at least|at most|more than|>=|<=|>|)\s*{_NUMBER}")
_TWO = re.compile(rf"{_NUMBER}\s*(?:to|-|\.\.)\s*{_NUMBER}")


def load_claims(path: str | Path, text: str | None = None) -> Claims:
    """Return the claims that the file at `path` holds.

    text: the file's content, where it is at hand already; `path` then only names it.
    Raises InputError: everything that is wrong with it, each with `file:line:column`.
    """
    claims, faults = read_claims(path, text)
    if faults or claims is None:
        raise InputError(*faults)
    return claims


def read_claims(path: str | Path, text: str | None = None) -> tuple[Claims | None, list[Fault]]:
    """Return the claims, None where there are none to speak of, and all faults in the order of the file."""
    file = Path(path)
    faults = FaultList(displayed(file), "claims file", "argosy schema claims")
    root = read_document(file, text, faults)
    claims = _build(root, faults) if root is not None else None
    found = faults.in_file_order()
    return (None if found else claims), found


def parse_range(text: str) -> Range | None:
    """Return how many a text claims, None when it cannot be read."""
    plain = text.strip().lower()
    if two := _TWO.fullmatch(plain):
        least, most = _number(two[1]), _number(two[2])
        return Range(least, most) if least <= most else None
    one = _ONE.fullmatch(plain)
    if one is None:
        return None
    number = _number(one[2])
    if one[1] in ("at most", "<="):
        return Range(0, number)
    if one[1] in ("more than", ">"):
        return Range(number + 1, None)
    return Range(number, None if one[1] else number)


def _number(digits: str) -> int:
    return int(re.sub(r"[,_]", "", digits))


def words(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return what may be one word or a list of them."""
    return (value,) if isinstance(value, str) else tuple(value)


def _build(root: Node, faults: FaultList) -> Claims | None:
    if not isinstance(root, Mapping):
        hint = "such as `claims: {agents: {text: 84 agents, source: a review, count: fleet.agents, is: 84}}`"
        faults.add(root.place, "wrong-type", f"the file is {shown(root)}, expected a mapping", hint)
        return None
    decoder = Decoder(faults)
    values = decoder.fields(root, ClaimsKeys)
    if len(faults):
        return None
    keys = ClaimsKeys(**values)
    builder = _Builder(keys, decoder, faults)
    for name, scope in keys.scopes.items():
        builder.scope(words(scope), f"scopes.{name}", {})
    claims = tuple(builder.claim(name, claim) for name, claim in keys.claims.items())
    if not claims:
        faults.add(decoder.places["claims"], "no-claims", "`claims` is empty: there is nothing to check")
    return Claims(keys.about, words(keys.fleet), claims)


class _Builder:
    """Understands the claims of one file; what is wrong with one is a fault at its place."""

    def __init__(self, keys: ClaimsKeys, decoder: Decoder, faults: FaultList) -> None:
        self.keys = keys
        self.places = decoder.places
        self.faults = faults

    def claim(self, name: str, keys: ClaimKeys) -> Claim:
        at = f"claims.{name}"
        if bool(keys.count) == bool(keys.measure):
            what = "neither `count` nor `measure`" if not keys.count else "both `count` and `measure`"
            hint = "`count` for what files tell, `measure` for what has to be measured"
            self.fault(at, "count", f"`{at}` has {what}", hint)
        if keys.count and not keys.is_ and not keys.places:
            message = f"`{at}` says neither how many nor where"
            self.fault(at, "nothing-claimed", message, "add `is:` or `places:`")
        query = self.query(f"{at}.count", keys)
        return Claim(
            id=name,
            where=self.faults.where(self.places[at]),
            text=keys.text,
            source=keys.source,
            query=query,
            measure=keys.measure,
            scope=self.scope_of(at, keys, query),
            unit=keys.unit,
            range=self.range(f"{at}.is", keys.is_),
            places=tuple(keys.places),
        )

    def query(self, at: str, keys: ClaimKeys) -> Query | None:
        if not keys.count:
            return None
        try:
            query = parse_query(keys.count)
        except QueryError as error:
            hint = suggestion(error.word, error.known, "queries") if error.known else ""
            self.fault(at, "query", str(error), hint or "`argosy claims queries` lists them")
            return None
        try:
            check_unit(query, keys.unit)
        except QueryError as error:
            self.fault(at.replace(".count", ".unit"), "unit", str(error), "leave it out")
        return query

    def scope_of(self, at: str, keys: ClaimKeys, query: Query | None) -> Scope:
        if not keys.in_:
            return make_scope(all_kinds()[query.name].scope if query else (), {})
        if query is not None and not all_kinds()[query.name].scope:
            message = f"`{query.name}` is about the fleet, not about files"
            self.fault(f"{at}.in", "scope", message, "leave it out")
        named = {name: words(scope) for name, scope in self.keys.scopes.items()}
        return self.scope(words(keys.in_), f"{at}.in", named)

    def scope(self, globs: Iterable[str], at: str, named: dict[str, tuple[str, ...]]) -> Scope:
        try:
            scope = make_scope(globs, named)
        except UnknownScopeError as error:
            hint = suggestion(error.word, error.known, "scopes")
            self.fault(at, "scope", f"there is no scope `{error.word}`, and it is no glob", hint)
            return Scope()
        if scope.fleet and not self.keys.fleet:
            self.fault(at, "no-fleet", "nothing tells the fleet", "add `fleet:` at the top of the file")
        return scope

    def range(self, at: str, text: str) -> Range | None:
        if not text:
            return None
        found = parse_range(text)
        if found is None:
            message = f"`{at}` is `{text}`, expected a whole number or a range"
            self.fault(at, "wrong-value", message, "such as `41`, `at least 80`, `at most 3`, `10 to 20`")
        return found

    def fault(self, at: str, code: str, message: str, hint: str) -> None:
        self.faults.add(self.places.get(at, Place(1, 1)), code, message, hint)
