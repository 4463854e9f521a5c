"""What is known of a tree's files from one audit to the next, decoded only where it is asked for.

What a file tells alone is kept by file, facts are kept by kind, since a rule reads one kind of all files, and
what rules said of several files is kept by rule. After one edit most of it is not even read: facts, and what
was said of several files, are kept aside, each in a file that is named anew whenever something in it is.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, KeysView, Mapping
from typing import Any, Final, TypeVar

import msgspec

from argosy.refit.cache import Cache, Linked
from argosy.refit.fact import FactKind
from argosy.refit.finding import Failure, Finding, Ignore
from argosy.refit.moves import Moves, find_move, follow
from argosy.refit.record import Record
from argosy.source.digest import blake2b
from argosy.source.text import Unparsed

Raw = msgspec.Raw
T = TypeVar("T")


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One file.

    digest: of its content. findings: of rules that look at it alone. marks: of its facts, by kind.
    """

    digest: bytes
    findings: tuple[Finding, ...]
    marks: dict[str, bytes]


class Stored(msgspec.Struct, array_like=True):
    """A ledger between two audits.

    twin: of the verdict that was kept with it. rows, ignores, failures: by path. facts: the name of what is
    kept of them. linked: the name of what rules said of several files, of those in codes; asked: what the
    disk was asked for, by the rule's code. failed: codes of rules to ask again. base: what all rules of
    several files were asked about. silenced: findings that comments silence. is_single: no finding comes from
    two places.
    """

    key: bytes
    twin: bytes
    rows: dict[str, Raw]
    facts: str
    linked: str
    codes: tuple[str, ...]
    asked: dict[str, dict[str, bool]]
    failed: tuple[str, ...]
    base: bytes
    ignores: dict[str, tuple[Ignore, ...]]
    failures: dict[str, tuple[Failure, ...]]
    silenced: tuple[Finding, ...]
    is_single: bool


def _nothing(key: bytes) -> Stored:
    return Stored(key, b"", {}, "", "", (), {}, (), b"", {}, {}, (), True)


_ROW: Final = msgspec.msgpack.Decoder(Row)
_FACTS: Final = msgspec.msgpack.Decoder(dict[str, bytes])
_LINKED: Final = msgspec.msgpack.Decoder(dict[str, Linked])


def _decoded(decoder: msgspec.msgpack.Decoder[T], raw: Raw) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SpoiltError(str(error)) from error


class SpoiltError(Exception):
    """What was kept aside is not there, or not as it was written; its text is the name."""


class Ledger:
    """The files of a tree, and what rules said of them.

    memory: where it is kept. stored: the ledger of the audit before, None for an empty one. unparsed: the
    files that Python could not run then. findings: all that was told then.
    Whatever asks for facts, or for what rules said, may raise SpoiltError.
    """

    def __init__(
        self,
        key: bytes,
        memory: Cache,
        stored: Stored | None = None,
        unparsed: Mapping[str, Unparsed] | None = None,
        findings: Collection[Finding] = (),
    ) -> None:
        self._was = _nothing(key) if stored is None else stored
        self._known = (*findings, *self._was.silenced) if stored is not None else ()
        self.unparsed = dict(unparsed or {}) if stored is not None else {}
        self.ignores = dict(self._was.ignores)
        self.failures = dict(self._was.failures)
        self._memory = memory
        self._changed: dict[str, set[str]] = {}
        self._moves = Moves()
        self._rows: dict[str, Raw | Row] = dict(self._was.rows)
        self._are_facts_new = self._is_linked_new = stored is None
        self._gone: list[Finding] = []
        self._came: list[Finding] = []
        self._is_single = self._was.is_single

    # -- files -----------------------------------------------------------------------------------------

    @property
    def paths(self) -> KeysView[str]:
        """The files, relative to the tree's root."""
        return self._rows.keys()

    def known(self, path: str) -> bytes:
        """Return the digest of a file as it was, empty for one that is new."""
        row = self._row(path)
        return b"" if row is None else row.digest

    def put(self, path: str, record: Record, kinds: Mapping[str, FactKind[Any]] | None = None) -> None:
        """Take in what was read of a file. kinds: of its facts, to find what has but moved."""
        marks = {kind: blake2b(fact, digest_size=16).digest() for kind, fact in record.facts.items()}
        self._replace(path, marks, record.facts, kinds or {})
        self._rows[path] = Row(record.digest, record.findings, marks)
        self._came += record.findings
        if record.unparsed is not None:
            self.unparsed[path] = record.unparsed
        if record.ignores:
            self.ignores[path] = record.ignores
        if record.failures:
            self.failures[path] = record.failures

    def drop(self, path: str) -> None:
        """Forget a file that has gone."""
        self._replace(path, {}, {}, {})
        del self._rows[path]

    def _replace(
        self,
        path: str,
        marks: Mapping[str, bytes],
        facts: Mapping[str, bytes],
        kinds: Mapping[str, FactKind[Any]],
    ) -> None:
        row = self._row(path)
        old = {} if row is None else row.marks
        others = {kind for kind in old.keys() | marks.keys() if old.get(kind) != marks.get(kind)}
        if any(kind in old and kind in marks for kind in others):
            others -= self._find_moves(path, facts, kinds)
        for kind in old.keys() | marks.keys():
            if old.get(kind) != marks.get(kind):
                self._are_facts_new = True
                held = self.facts(kind)
                held.pop(path, None)
                if kind in facts:
                    held[path] = facts[kind]
        for kind in others:
            self._changed.setdefault(kind, set()).add(path)
        self._gone += () if row is None else row.findings
        for kept in (self.unparsed, self.ignores, self.failures):
            kept.pop(path, None)

    def _find_moves(
        self, path: str, facts: Mapping[str, bytes], kinds: Mapping[str, FactKind[Any]]
    ) -> set[str]:
        """Return the kinds of which a file's facts are as they were, but for their lines."""
        found: set[str] = set()
        for name in facts.keys() & kinds.keys():
            kind, old = kinds[name], self.facts(name).get(path)
            lines = None if old is None else find_move(kind.decode(old), kind.decode(facts[name]))
            if lines is not None:
                self._moves.add(path, name, lines)
                found.add(name)
        return found

    def _row(self, path: str) -> Row | None:
        found = self._rows.get(path)
        if isinstance(found, Raw):
            found = self._rows[path] = _decoded(_ROW, found)
        return found

    @functools.cached_property
    def _facts(self) -> dict[str, Raw | dict[str, bytes]]:
        return self._aside(self._was.facts)

    @functools.cached_property
    def _linked(self) -> dict[str, Raw | dict[str, Linked]]:
        return self._aside(self._was.linked)

    def _aside(self, name: str) -> dict[str, Any]:
        found = self._memory.load(name, dict[str, Raw]) if name else {}
        if found is None:
            raise SpoiltError(name)
        return found

    # -- facts -----------------------------------------------------------------------------------------

    def facts(self, kind: str) -> dict[str, bytes]:
        """Return the facts of one kind by path, as they are kept."""
        found = self._facts.setdefault(kind, {})
        if isinstance(found, Raw):
            found = self._facts[kind] = _decoded(_FACTS, found)
        return found

    def changed(self, kinds: Iterable[str]) -> set[str]:
        """Return the files whose facts of one of these kinds are others than before, wherever they stand."""
        return {path for kind in kinds for path in self._changed.get(kind, ())}

    # -- what rules said -------------------------------------------------------------------------------

    def is_as_it_was(self, code: str, base: bytes, kinds: Iterable[str]) -> bool:
        """Return whether all that a rule was asked about is as it was; the disk may say otherwise."""
        return base == self._was.base and code in self._was.codes and not self.changed(kinds)

    def has_failed(self, code: str) -> bool:
        """Return whether a rule failed somewhere."""
        return code in self._was.failed

    def follow(self, code: str, kinds: Collection[str]) -> bool:
        """Move along what a rule said, and return whether all of it could be; the rest is forgotten.

        kinds: of the facts that it reads.
        """
        if not self._moves.concern(kinds):
            return True
        held = self.linked(code)
        lines = self._moves.lines(kinds)
        is_whole = True
        for path, kept in list(held.items()):
            found = None if lines is None else follow(kept.findings, lines)
            if found is None:
                is_whole = False
                self._gone += kept.findings
                del held[path]
                self._is_linked_new = True
                continue
            pairs = [(was, now) for was, now in zip(kept.findings, found, strict=True) if was is not now]
            if pairs:
                self._gone += (was for was, _ in pairs)
                self._came += (now for _, now in pairs)
                held[path] = Linked(tuple(found), kept.asked)
                self._is_linked_new = True
        return is_whole

    def asked(self, code: str) -> Mapping[str, bool]:
        """Return what a rule asked the disk for, and the answers."""
        return self._was.asked.get(code, {})

    def linked(self, code: str) -> dict[str, Linked]:
        """Return what a rule said by path, under an empty path what it said of the whole tree."""
        found = self._linked.setdefault(code, {})
        if isinstance(found, Raw):
            found = self._linked[code] = _decoded(_LINKED, found)
        return found

    def link(self, code: str, now: dict[str, Linked]) -> None:
        """Take in what a rule says now."""
        was = self.linked(code)
        self._is_linked_new = self._is_linked_new or now.keys() != was.keys()
        self._is_linked_new = self._is_linked_new or any(was[path] is not new for path, new in now.items())
        for path, old in was.items():
            self._gone += () if now.get(path) is old else old.findings
        for path, new in now.items():
            self._came += () if was.get(path) is new else new.findings
        self._linked[code] = now

    # -- all of it -------------------------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """Return every finding once, those that were told before first."""
        if self._is_single:
            gone = set(self._gone)
            every = [item for item in self._known if item not in gone] if gone else list(self._known)
            every += self._came
        else:
            every = [item for path in self._rows for item in self._own(path)]
            every += [
                item for code in self._linked for held in self.linked(code).values() for item in held.findings
            ]
        single = dict.fromkeys(every)
        self._is_single = len(single) == len(every)
        return list(single)

    def _own(self, path: str) -> tuple[Finding, ...]:
        row = self._row(path)
        return () if row is None else row.findings

    def keep(
        self,
        twin: bytes,
        base: bytes,
        silenced: Iterable[Finding],
        asked: Mapping[str, Mapping[str, bool]],
        failed: Iterable[str],
    ) -> None:
        """Write down all that is known; `findings` has been asked before."""
        facts, linked, codes = self._was.facts, self._was.linked, self._was.codes
        if self._are_facts_new:
            facts = self._memory.store_anew("facts", self._facts)
        if self._is_linked_new:
            linked, codes = self._memory.store_anew("linked", self._linked), tuple(self._linked)
        self._memory.store(
            "ledger",
            Stored(
                key=self._was.key,
                twin=twin,
                # Each is written as the bytes that it was, or those that it has now.
                rows=self._rows,  # type: ignore[arg-type]
                facts=facts,
                linked=linked,
                codes=codes,
                asked={code: dict(answers) for code, answers in asked.items() if answers},
                failed=tuple(failed),
                base=base,
                ignores=self.ignores,
                failures=self.failures,
                silenced=tuple(silenced),
                is_single=self._is_single,
            ),
        )
