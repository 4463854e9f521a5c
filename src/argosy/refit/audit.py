"""Audits a tree: reads what has changed, asks the rules, and returns everything that they found.

Nothing of the tree is imported or run. What can be told of a file alone is told when it is read, and kept
with its content's digest; what needs other files is told from facts, and kept with a digest of
those facts. So a tree in which nothing has changed costs one look at the stamps of its files.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from argosy.fleet import Fleet
from argosy.refit.cache import Cache, Linked, Records, Seen, Verdict, code_key, find_unsettled
from argosy.refit.fact import FactKind
from argosy.refit.finding import Failure, Finding
from argosy.refit.readers import read_files
from argosy.refit.record import Reader, Record, describe
from argosy.refit.rule import Rule, load_rules
from argosy.refit.tree import Tree
from argosy.refit.walk import Snapshot, take_snapshot

# So few files, or so few bytes, are read before a second process has started.
_FEW, _SMALL = 8, 200_000

NO_FLEET = "no fleet file"

Progress = Callable[[int, int], None]


class Report(msgspec.Struct, frozen=True):
    """The account of one audit.

    sizes: the bytes of every file that was looked at, by path. read: how many had to be read anew.
    unreadable: folders that could not be listed, and why. environments: virtual environments below the
    root, whose files are audited like all others. refused: rules that could not be asked, and why.
    """

    root: str
    verdict: Verdict
    sizes: Mapping[str, int]
    read: int
    unreadable: Mapping[str, str]
    environments: tuple[str, ...]
    seconds: float
    refused: Mapping[str, str] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.verdict.findings


def audit(
    root: str | os.PathLike[str],
    *,
    exclude: Sequence[str] = (),
    fleet: Fleet | None = None,
    cache: Path | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return everything that the rules find below `root`.

    exclude: globs of what to leave out. cache: the folder of memories, None for none. processes: how many
    read at once (default: as many as there are cores). progress: told how many files are read, of
    how many.
    """
    started = time.perf_counter()
    whole = os.path.realpath(root)
    rules = load_rules(has_fleet=fleet is not None)
    names = {name for rule in rules for name in (*rule.names, *_text_names(rule))}
    taken_ns = time.time_ns()
    snapshot = take_snapshot(whole, names, exclude)
    memory = Cache(cache, whole, exclude)
    key = _digest([code_key(), _fleet_key(fleet)])
    seen = memory.load("seen", Seen)
    if seen is not None and seen.key == key and seen.snapshot == snapshot and not seen.unsettled:
        verdict, read = seen.verdict, 0
    else:
        past = seen if seen is not None and seen.key == key else None
        work = _Audit(whole, rules, snapshot, fleet, key)
        read = work.read(memory, past, processes or os.cpu_count() or 1, progress)
        verdict = work.verdict()
        memory.store("records", work.known)
        memory.store("seen", Seen(key, snapshot, find_unsettled(snapshot, taken_ns), verdict))
    seconds = time.perf_counter() - started
    sizes = {path: stamp.size for path, stamp in snapshot.stamps.items()}
    refused = _refused(rules)
    return Report(whole, verdict, sizes, read, snapshot.unreadable, snapshot.environments, seconds, refused)


def _refused(asked: Sequence[Rule]) -> dict[str, str]:
    codes = {rule.code for rule in asked}
    return {rule.code: NO_FLEET for rule in load_rules() if rule.code not in codes}


def _text_names(rule: Rule) -> Iterable[str]:
    return (name for kind in (*rule.needs, *rule.sees) for name in kind.names)


def _fleet_key(fleet: Fleet | None) -> bytes:
    return b"" if fleet is None else Path(fleet.path).read_bytes()


class _Audit:
    """One audit of a tree that has changed. known: the records, of which those that hold are reused."""

    def __init__(
        self, root: str, rules: Sequence[Rule], snapshot: Snapshot, fleet: Fleet | None, key: bytes
    ) -> None:
        self.root = root
        self.rules = rules
        self.snapshot = snapshot
        self.fleet = fleet
        self.known = Records(key, {}, {})
        self.failures: list[Failure] = []

    def read(self, memory: Cache, past: Seen | None, processes: int, progress: Progress | None) -> int:
        """Read what has changed since `past`, and return how many files that were."""
        kept = memory.load("records", Records) if past is not None else None
        if kept is None or kept.key != self.known.key or past is None:
            kept, stamps, unsettled = Records(self.known.key, {}, {}), {}, frozenset[str]()
        else:
            stamps, unsettled = past.snapshot.stamps, past.unsettled
        jobs: list[tuple[str, bytes]] = []
        for path, stamp in self.snapshot.stamps.items():
            record = kept.records.get(path)
            if record is not None and stamps.get(path) == stamp and path not in unsettled:
                self.known.records[path] = record
            else:
                jobs.append((path, record.digest if record is not None else b""))
        self.known.linked = kept.linked

        total, count = len(jobs), 0

        def done(path: str, record: Record | None) -> None:
            nonlocal count
            self.known.records[path] = kept.records[path] if record is None else record
            count += record is not None
            if progress is not None:
                progress(len(self.known.records) - len(self.snapshot.stamps) + total, total)

        self.read_jobs(jobs, processes, done)
        return count

    def read_jobs(
        self, jobs: list[tuple[str, bytes]], processes: int, done: Callable[[str, Record | None], None]
    ) -> None:
        size = sum(self.snapshot.stamps[path].size for path, _ in jobs)
        if len(jobs) <= _FEW and size <= _SMALL:
            reader = Reader(self.root, self.rules)
            for path, known in jobs:
                done(path, reader.read(path, known))
        else:
            # The largest first, so that none is left for the end.
            jobs.sort(key=lambda job: self.snapshot.stamps[job[0]].size, reverse=True)
            read_files(self.root, jobs, processes, done, has_fleet=self.fleet is not None)

    def verdict(self) -> Verdict:
        """Ask the rules that look at several files, and return all findings."""
        records = dict(sorted(self.known.records.items()))
        unparsed = {path: record.unparsed for path, record in records.items() if record.unparsed is not None}
        facts = {path: record.facts for path, record in records.items()}
        tree = Tree(self.root, facts, unparsed, self.snapshot.entries, self.fleet)
        found = [item for record in records.values() for item in record.findings]
        self.failures += [item for record in records.values() for item in record.failures]
        base = _digest(
            [
                msgspec.msgpack.encode(self.snapshot.entries),
                msgspec.msgpack.encode(sorted((path, fault.stage) for path, fault in unparsed.items())),
            ]
        )
        judge = _Judge(tree, records, self.known, base, self.failures)
        for rule in self.rules:
            found += judge.ask(rule)
        told = {item for item in found if not _is_ignored(item, records)}
        files = sum(path.endswith(".py") for path in records)
        ignored = len(set(found)) - len(told)
        return Verdict(files, unparsed, tuple(sorted(told)), ignored, tuple(sorted(set(self.failures))))


class _Judge:
    """Asks the rules that need facts, each only where what it looks at is not as it was."""

    def __init__(
        self,
        tree: Tree,
        records: Mapping[str, Record],
        known: Records,
        base: bytes,
        failures: list[Failure],
    ) -> None:
        self.tree = tree
        self.records = records
        self.known = known
        self.base = base
        self.failures = failures
        self.digests: dict[str, bytes] = {}

    def ask(self, rule: Rule) -> list[Finding]:
        """Return what a rule finds in the light of several files."""
        past = self.known.linked.get(rule.code, {})
        now: dict[str, Linked] = {}
        if rule.link is not None:
            seen = _digest([self.base, *map(self.digest, rule.sees)])
            for path in self.tree.paths:
                own = [self.records[path].facts.get(kind.name, b"") for kind in rule.needs]
                if any(own):
                    self.take(rule, path, rule.link, _digest([seen, *own]), past, now)
        if rule.tree is not None:
            key = _digest([self.base, *map(self.digest, rule.needs)])
            whole = rule.tree
            self.take(rule, "", lambda tree, _: whole(tree), key, past, now)
        self.known.linked[rule.code] = now
        return [item for linked in now.values() for item in linked.findings]

    def take(
        self,
        rule: Rule,
        path: str,
        check: Callable[[Tree, str], Iterable[Finding]],
        key: bytes,
        past: Mapping[str, Linked],
        now: dict[str, Linked],
    ) -> None:
        kept = past.get(path)
        if kept is not None and kept.key == key:
            now[path] = kept
            return
        try:
            now[path] = Linked(key, tuple(rule.stamp(check(self.tree, path))))
        except Exception as error:  # a rule that fails is told, and stops no other
            self.failures.append(Failure(path, rule.code, describe(error)))

    def digest(self, kind: FactKind[Any]) -> bytes:
        """Return what tells the facts of one kind, of all files, from others."""
        if kind.name not in self.digests:
            parts: list[bytes] = []
            for path, record in self.records.items():
                fact = record.facts.get(kind.name)
                if fact is not None:
                    parts += [path.encode("utf-8", "surrogatepass"), fact]
            self.digests[kind.name] = _digest(parts)
        return self.digests[kind.name]


def _is_ignored(finding: Finding, records: Mapping[str, Record]) -> bool:
    record = records.get(finding.path)
    return record is not None and any(ignore.covers(finding) for ignore in record.ignores)


def _digest(parts: Iterable[bytes]) -> bytes:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.digest()
