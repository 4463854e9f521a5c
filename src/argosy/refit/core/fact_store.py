"""Stores the facts and findings of a tree between audits, and decodes them on demand.

Results of single files are stored by file, facts by kind (a rule reads one kind from all files), and findings
of cross-file rules by rule. After one edit most of it is not read: facts and cross-file findings are in
entries of their own, each renamed whenever its content changes.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, KeysView, Mapping
from typing import Any, Final, TypeVar

import msgspec

from argosy.refit.core.audit_cache import CrossFileFindings, TreeCache
from argosy.refit.core.fact import FactKind
from argosy.refit.core.finding import FileResult, Finding, IgnoreComment, RuleFailure
from argosy.refit.core.line_shift import ShiftedFacts, find_line_shift, shift_findings
from argosy.source.digest import blake2b
from argosy.source.python_source import Unparsed

Raw = msgspec.Raw
T = TypeVar("T")


class FileRow(msgspec.Struct, frozen=True, array_like=True):
    """The stored result of one file.

    digest: of its content. findings: of the rules that check single files. fact_digests: by kind.
    """

    digest: bytes
    findings: tuple[Finding, ...]
    fact_digests: dict[str, bytes]


class StoredFacts(msgspec.Struct, array_like=True):
    """The fact store as written by an audit.

    pairing_id: that of the audit result written with it. rows, ignores, failures: by path. facts_entry: the
    cache entry of the facts. cross_file_entry: the cache entry of the cross-file findings, of the rules in
    cross_file_codes. path_checks: the paths checked on disk, by rule code. failed_rules: codes of rules to
    evaluate again. base_digest: of the inputs that all cross-file rules share. ignored_findings: findings
    that comments suppress. has_unique_findings: no finding is reported by two rules or for two files.
    """

    key: bytes
    pairing_id: bytes
    rows: dict[str, Raw]
    facts_entry: str
    cross_file_entry: str
    cross_file_codes: tuple[str, ...]
    path_checks: dict[str, dict[str, bool]]
    failed_rules: tuple[str, ...]
    base_digest: bytes
    ignores: dict[str, tuple[IgnoreComment, ...]]
    failures: dict[str, tuple[RuleFailure, ...]]
    ignored_findings: tuple[Finding, ...]
    has_unique_findings: bool


def _empty_store(key: bytes) -> StoredFacts:
    return StoredFacts(key, b"", {}, "", "", (), {}, (), b"", {}, {}, (), True)


_ROW_DECODER: Final = msgspec.msgpack.Decoder(FileRow)
_FACTS_DECODER: Final = msgspec.msgpack.Decoder(dict[str, bytes])
_CROSS_FILE_DECODER: Final = msgspec.msgpack.Decoder(dict[str, CrossFileFindings])


def _decode(decoder: msgspec.msgpack.Decoder[T], raw: Raw) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CacheCorruptError(str(error)) from error


class CacheCorruptError(Exception):
    """A cache entry is missing or cannot be decoded; the text is its name."""


class FactStore:
    """The facts of a tree's files, and the findings of its rules.

    tree_cache: where it is stored. stored: the store of the previous audit, None for an empty one. unparsed:
    the files that Python could not run then. findings: all findings of the previous audit. Every method that
    reads facts or cross-file findings may raise CacheCorruptError.
    """

    def __init__(
        self,
        key: bytes,
        tree_cache: TreeCache,
        stored: StoredFacts | None = None,
        unparsed: Mapping[str, Unparsed] | None = None,
        findings: Collection[Finding] = (),
    ) -> None:
        self._previous = _empty_store(key) if stored is None else stored
        self._previous_findings = (*findings, *self._previous.ignored_findings) if stored is not None else ()
        self.unparsed = dict(unparsed or {}) if stored is not None else {}
        self.ignores = dict(self._previous.ignores)
        self.failures = dict(self._previous.failures)
        self._tree_cache = tree_cache
        self._changed_files: dict[str, set[str]] = {}
        self._shifted_facts = ShiftedFacts()
        self._rows: dict[str, Raw | FileRow] = dict(self._previous.rows)
        self._has_new_facts = self._has_new_cross_file = stored is None
        self._removed_findings: list[Finding] = []
        self._added_findings: list[Finding] = []
        self._has_unique_findings = self._previous.has_unique_findings

    # -- files -----------------------------------------------------------------------------------------

    @property
    def paths(self) -> KeysView[str]:
        """The files, relative to the tree's root."""
        return self._rows.keys()

    def known_digest(self, path: str) -> bytes:
        """Return the stored digest of a file, empty for a new one."""
        row = self._row(path)
        return b"" if row is None else row.digest

    def add_file(
        self, path: str, result: FileResult, kinds: Mapping[str, FactKind[Any]] | None = None
    ) -> None:
        """Store the result of a file. kinds: of its facts, to detect facts whose lines have shifted."""
        fact_digests = {kind: blake2b(fact, digest_size=16).digest() for kind, fact in result.facts.items()}
        self._replace_facts(path, fact_digests, result.facts, kinds or {})
        self._rows[path] = FileRow(result.digest, result.findings, fact_digests)
        self._added_findings += result.findings
        if result.unparsed is not None:
            self.unparsed[path] = result.unparsed
        if result.ignores:
            self.ignores[path] = result.ignores
        if result.failures:
            self.failures[path] = result.failures

    def remove_file(self, path: str) -> None:
        """Remove a deleted file."""
        self._replace_facts(path, {}, {}, {})
        del self._rows[path]

    def _replace_facts(
        self,
        path: str,
        fact_digests: Mapping[str, bytes],
        facts: Mapping[str, bytes],
        kinds: Mapping[str, FactKind[Any]],
    ) -> None:
        row = self._row(path)
        old = {} if row is None else row.fact_digests
        changed_kinds = {
            kind for kind in old.keys() | fact_digests.keys() if old.get(kind) != fact_digests.get(kind)
        }
        if any(kind in old and kind in fact_digests for kind in changed_kinds):
            changed_kinds -= self._find_line_shifts(path, facts, kinds)
        for kind in old.keys() | fact_digests.keys():
            if old.get(kind) != fact_digests.get(kind):
                self._has_new_facts = True
                facts_by_path = self.facts(kind)
                facts_by_path.pop(path, None)
                if kind in facts:
                    facts_by_path[path] = facts[kind]
        for kind in changed_kinds:
            self._changed_files.setdefault(kind, set()).add(path)
        self._removed_findings += () if row is None else row.findings
        for by_path in (self.unparsed, self.ignores, self.failures):
            by_path.pop(path, None)

    def _find_line_shifts(
        self, path: str, facts: Mapping[str, bytes], kinds: Mapping[str, FactKind[Any]]
    ) -> set[str]:
        """Return the kinds for which a file's facts differ in nothing but line numbers."""
        found: set[str] = set()
        for name in facts.keys() & kinds.keys():
            kind, old = kinds[name], self.facts(name).get(path)
            lines = None if old is None else find_line_shift(kind.decode(old), kind.decode(facts[name]))
            if lines is not None:
                self._shifted_facts.add(path, name, lines)
                found.add(name)
        return found

    def _row(self, path: str) -> FileRow | None:
        found = self._rows.get(path)
        if isinstance(found, Raw):
            found = self._rows[path] = _decode(_ROW_DECODER, found)
        return found

    @functools.cached_property
    def _facts(self) -> dict[str, Raw | dict[str, bytes]]:
        return self._load_entry(self._previous.facts_entry)

    @functools.cached_property
    def _cross_file(self) -> dict[str, Raw | dict[str, CrossFileFindings]]:
        return self._load_entry(self._previous.cross_file_entry)

    def _load_entry(self, name: str) -> dict[str, Any]:
        found = self._tree_cache.load(name, dict[str, Raw]) if name else {}
        if found is None:
            raise CacheCorruptError(name)
        return found

    # -- facts -----------------------------------------------------------------------------------------

    def facts(self, kind: str) -> dict[str, bytes]:
        """Return the encoded facts of one kind by path."""
        found = self._facts.setdefault(kind, {})
        if isinstance(found, Raw):
            found = self._facts[kind] = _decode(_FACTS_DECODER, found)
        return found

    def changed_files(self, kinds: Iterable[str]) -> set[str]:
        """Return the files whose facts of one of these kinds have changed in more than line numbers."""
        return {path for kind in kinds for path in self._changed_files.get(kind, ())}

    # -- findings of rules --------------------------------------------------------------------------------

    def is_unchanged(self, code: str, base_digest: bytes, kinds: Iterable[str]) -> bool:
        """Return whether a rule's stored inputs are unchanged; paths on disk are not checked."""
        return (
            base_digest == self._previous.base_digest
            and code in self._previous.cross_file_codes
            and not self.changed_files(kinds)
        )

    def has_failed(self, code: str) -> bool:
        """Return whether a rule raised an error in the previous audit."""
        return code in self._previous.failed_rules

    def shift_lines(self, code: str, kinds: Collection[str]) -> bool:
        """Update line numbers in a rule's findings, and return whether all could be; the others are dropped.

        kinds: of the facts that the rule reads.
        """
        if not self._shifted_facts.has_shifted(kinds):
            return True
        findings_by_path = self.cross_file_findings(code)
        lines = self._shifted_facts.merged_lines(kinds)
        is_complete = True
        for path, previous in list(findings_by_path.items()):
            shifted = None if lines is None else shift_findings(previous.findings, lines)
            if shifted is None:
                is_complete = False
                self._removed_findings += previous.findings
                del findings_by_path[path]
                self._has_new_cross_file = True
                continue
            pairs = [
                (was, now) for was, now in zip(previous.findings, shifted, strict=True) if was is not now
            ]
            if pairs:
                self._removed_findings += (was for was, _ in pairs)
                self._added_findings += (now for _, now in pairs)
                findings_by_path[path] = CrossFileFindings(tuple(shifted), previous.path_checks)
                self._has_new_cross_file = True
        return is_complete

    def path_checks(self, code: str) -> Mapping[str, bool]:
        """Return the paths that a rule checked on disk, with the answers."""
        return self._previous.path_checks.get(code, {})

    def cross_file_findings(self, code: str) -> dict[str, CrossFileFindings]:
        """Return a rule's findings by path; those of the whole tree have an empty path."""
        found = self._cross_file.setdefault(code, {})
        if isinstance(found, Raw):
            found = self._cross_file[code] = _decode(_CROSS_FILE_DECODER, found)
        return found

    def record_cross_file(self, code: str, current: dict[str, CrossFileFindings]) -> None:
        """Replace a rule's findings with the current ones."""
        previous = self.cross_file_findings(code)
        self._has_new_cross_file = self._has_new_cross_file or current.keys() != previous.keys()
        self._has_new_cross_file = self._has_new_cross_file or any(
            previous[path] is not new for path, new in current.items()
        )
        for path, old in previous.items():
            self._removed_findings += () if current.get(path) is old else old.findings
        for path, new in current.items():
            self._added_findings += () if previous.get(path) is new else new.findings
        self._cross_file[code] = current

    # -- the whole store ----------------------------------------------------------------------------------

    def all_findings(self) -> list[Finding]:
        """Return every finding once, those of the previous audit first."""
        if self._has_unique_findings:
            removed = set(self._removed_findings)
            every = (
                [item for item in self._previous_findings if item not in removed]
                if removed
                else list(self._previous_findings)
            )
            every += self._added_findings
        else:
            every = [item for path in self._rows for item in self._file_findings(path)]
            every += [
                item
                for code in self._cross_file
                for cross_file in self.cross_file_findings(code).values()
                for item in cross_file.findings
            ]
        unique = dict.fromkeys(every)
        self._has_unique_findings = len(unique) == len(every)
        return list(unique)

    def _file_findings(self, path: str) -> tuple[Finding, ...]:
        row = self._row(path)
        return () if row is None else row.findings

    def save(
        self,
        pairing_id: bytes,
        base_digest: bytes,
        ignored_findings: Iterable[Finding],
        path_checks: Mapping[str, Mapping[str, bool]],
        failed_rules: Iterable[str],
    ) -> None:
        """Write the store; call `all_findings` first."""
        facts_entry, cross_file_entry, cross_file_codes = (
            self._previous.facts_entry,
            self._previous.cross_file_entry,
            self._previous.cross_file_codes,
        )
        if self._has_new_facts:
            facts_entry = self._tree_cache.store_versioned("facts", self._facts)
        if self._has_new_cross_file:
            cross_file_entry, cross_file_codes = (
                self._tree_cache.store_versioned("cross-file", self._cross_file),
                tuple(self._cross_file),
            )
        self._tree_cache.store(
            "fact-store",
            StoredFacts(
                key=self._previous.key,
                pairing_id=pairing_id,
                # Unchanged rows are still the encoded bytes.
                rows=self._rows,  # type: ignore[arg-type]
                facts_entry=facts_entry,
                cross_file_entry=cross_file_entry,
                cross_file_codes=cross_file_codes,
                path_checks={code: dict(answers) for code, answers in path_checks.items() if answers},
                failed_rules=tuple(failed_rules),
                base_digest=base_digest,
                ignores=self.ignores,
                failures=self.failures,
                ignored_findings=tuple(ignored_findings),
                has_unique_findings=self._has_unique_findings,
            ),
        )
