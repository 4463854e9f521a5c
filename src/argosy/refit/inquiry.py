"""Asks the rules about a tree that has changed: each file that is new, and what hangs on new facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from argosy.refit.cache import Cache, Catalogue, Linked, Records, Seen, Verdict, digest_of
from argosy.refit.fact import FactKind
from argosy.refit.finding import Failure, Finding, Ignore
from argosy.refit.fleetfile import FleetFile
from argosy.refit.reader import Reader, describe
from argosy.refit.record import Record
from argosy.refit.rule import Rule, load_askable, load_rules
from argosy.refit.tree import Tree
from argosy.refit.walk import Names, Snapshot, is_there

# So few files, or so few bytes, are read before a second process has started.
_FEW, _SMALL = 8, 200_000

Progress = Callable[[int, int], None]


def make_catalogue() -> Catalogue:
    """Return what is to be known of the rules when none of them has to be asked."""
    rules = load_rules()
    names = {name for rule in rules for name in rule.names}
    names |= {name for rule in rules for kind in (*rule.needs, *rule.sees) for name in kind.names}
    return Catalogue(
        names=tuple(sorted(names)),
        titles={rule.code: rule.title for rule in rules},
    )


class Inquiry:
    """One audit of a tree that has changed.

    known: the records, of which those that hold are reused. asked: what the rules asked the disk for.
    """

    def __init__(self, root: str, snapshot: Snapshot, fleet: FleetFile | None, key: bytes) -> None:
        self.root = root
        self.rules = load_askable(has_fleet=fleet is not None)
        self.snapshot = snapshot
        self.fleet = fleet
        self.known = Records(key, {}, {})
        self.failures: list[Failure] = []
        self.asked: dict[str, bool] = {}

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
            # One edit is read before the pipes and processes of many are even loaded.
            from argosy.refit.readers import read_files  # noqa: PLC0415

            load = partial(load_askable, has_fleet=self.fleet is not None)
            read_files(self.root, jobs, processes, done, load)

    def verdict(self) -> Verdict:
        """Ask the rules that look at several files, and return all findings."""
        records = dict(sorted(self.known.records.items()))
        unparsed = {path: record.unparsed for path, record in records.items() if record.unparsed is not None}
        facts = {path: record.facts for path, record in records.items()}
        tree = Tree(self.root, facts, unparsed, self.snapshot.entries, self.fleet)
        found = [item for record in records.values() for item in record.findings]
        self.failures += [item for record in records.values() for item in record.failures]
        base = digest_of(
            [
                msgspec.msgpack.encode(self.snapshot.entries),
                msgspec.msgpack.encode(sorted((path, fault.stage) for path, fault in unparsed.items())),
            ]
        )
        judge = _Judge(tree, records, self.known, base, self.failures)
        for rule in self.rules:
            found += judge.ask(rule)
        for linked in self.known.linked.values():
            for kept in linked.values():
                self.asked.update(kept.asked)
        every = set(found)
        silent = {path: record.ignores for path, record in records.items() if record.ignores}
        told = [item for item in every if not _is_ignored(item, silent)]
        files = sum(path.endswith(".py") for path in records)
        ignored = len(every) - len(told)
        return Verdict(
            files=files,
            unparsed=unparsed,
            findings=tuple(sorted(told)),
            ignored=ignored,
            failures=tuple(sorted(set(self.failures))),
            refused=dict(self.refused()),
        )

    def refused(self) -> Iterator[tuple[str, str]]:
        """Yield the rules that were not asked, and why: those that something of this tree is for."""
        for rule in load_rules():
            reason = rule.refusal(has_fleet=self.fleet is not None)
            names = Names(rule.names)
            is_about = rule.lacks is None or any(
                names.fit(path, path.rpartition("/")[2]) for path in self.snapshot.stamps
            )
            if reason and is_about:
                yield rule.code, reason


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
        self._held: dict[str, dict[str, bytes]] = {}
        self._digests: dict[str, bytes] = {}
        self._there: dict[str, bool] = {}

    def ask(self, rule: Rule) -> list[Finding]:
        """Return what a rule finds in the light of several files."""
        past = self.known.linked.get(rule.code, {})
        now: dict[str, Linked] = {}
        if rule.link is not None:
            seen = digest_of([self.base, *map(self.digest, rule.sees)])
            needed = [self.held(kind) for kind in rule.needs]
            for path in self.tree.paths:
                if any(path in held for held in needed):
                    own = [held.get(path, b"") for held in needed]
                    self.take(rule, path, rule.link, digest_of([seen, *own]), past, now)
        if rule.tree is not None:
            key = digest_of([self.base, *map(self.digest, rule.needs)])
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
        if kept is not None and kept.key == key and self.is_answered(kept):
            now[path] = kept
            return
        try:
            found = tuple(rule.stamp(check(self.tree, path)))
            # What an earlier rule asked for may stand behind what both derive of the tree.
            now[path] = Linked(key, found, {} if path else dict(self.tree.asked))
        except Exception as error:  # a rule that fails is told, and stops no other
            self.failures.append(Failure(path, rule.code, describe(error)))

    def is_answered(self, kept: Linked) -> bool:
        """Return whether the disk says of what a rule asked what it said then."""
        return all(self.is_there(path) is answer for path, answer in kept.asked.items())

    def is_there(self, path: str) -> bool:
        """Return what the disk says of a path; asked once."""
        if path not in self._there:
            self._there[path] = is_there(self.tree.root, path)
        return self._there[path]

    def held(self, kind: FactKind[Any]) -> dict[str, bytes]:
        """Return the facts of one kind by path, as they are kept."""
        if kind.name not in self._held:
            name = kind.name
            self._held[name] = {
                path: record.facts[name] for path, record in self.records.items() if name in record.facts
            }
        return self._held[kind.name]

    def digest(self, kind: FactKind[Any]) -> bytes:
        """Return what tells the facts of one kind, of all files, from others."""
        if kind.name not in self._digests:
            held = self.held(kind)
            paths = "\0".join(held).encode("utf-8", "surrogatepass")
            self._digests[kind.name] = digest_of([paths, *held.values()])
        return self._digests[kind.name]


def _is_ignored(finding: Finding, silent: Mapping[str, tuple[Ignore, ...]]) -> bool:
    return any(ignore.covers(finding) for ignore in silent.get(finding.path, ()))
