"""Asks the rules about a tree that has changed: each file that is new, and what hangs on new facts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import msgspec

from argosy.refit.cache import Cache, Catalogue, Linked, Seen, Verdict, digest_of
from argosy.refit.file import words_in
from argosy.refit.finding import Failure, Finding, Ignore
from argosy.refit.fleetfile import FleetFile
from argosy.refit.ledger import Ledger, Stored
from argosy.refit.reader import Reader, describe
from argosy.refit.record import Record
from argosy.refit.rule import Rule, fact_kinds, load_askable, load_rules, sketch_askable
from argosy.refit.sketch import RuleSketch, sketch_kinds
from argosy.refit.tree import Tree
from argosy.refit.walk import Names, Snapshot, Stamp, is_there
from argosy.source.text import read_data

# So few files, or so few bytes, are read before a second process has started.
_FEW, _SMALL = 8, 200_000

Progress = Callable[[int, int], None]


def make_catalogue(*, has_fleet: bool) -> Catalogue:
    """Return what is to be known of the rules before they are loaded."""
    rules = load_rules()
    names = {name for rule in rules for name in rule.names}
    names |= {name for rule in rules for kind in (*rule.needs, *rule.sees) for name in kind.names}
    return Catalogue(
        names=tuple(sorted(names)),
        titles={rule.code: rule.title for rule in rules},
        rules=sketch_askable(has_fleet=has_fleet),
        kinds=sketch_kinds(fact_kinds(load_askable(has_fleet=has_fleet))),
    )


class Inquiry:
    """One audit of a tree that has changed.

    ledger: what is known of its files, of which what still holds is reused. asked: what the rules asked the
    disk for.
    """

    def __init__(
        self,
        root: str,
        snapshot: Snapshot,
        fleet: FleetFile | None,
        key: bytes,
        catalogue: Catalogue,
        memory: Cache,
    ) -> None:
        self.root = root
        self.snapshot = snapshot
        self.fleet = fleet
        self.catalogue = catalogue
        self.key = key
        self.memory = memory
        self.ledger = Ledger(key, memory)
        self.failures: list[Failure] = []
        self.asked: dict[str, bool] = {}
        # None where a rule may be refused for the sake of other files than before.
        self.past_refused: Mapping[str, str] | None = None

    def read(self, past: Seen | None, processes: int, progress: Progress | None) -> int:
        """Read what has changed since `past`, and return how many files that were.

        Raises SpoiltError: what was kept of the audit before is not to be had; so may `verdict`.
        """
        stored = self.memory.load("ledger", Stored) if past is not None else None
        stamps: Mapping[str, Stamp] = {}
        unsettled = frozenset[str]()
        if past is not None and stored is not None and (stored.key, stored.twin) == (self.key, past.twin):
            self.ledger = Ledger(self.key, self.memory, stored, past.verdict.unparsed, past.verdict.findings)
            stamps, unsettled = past.snapshot.stamps, past.unsettled
            if stamps.keys() == self.snapshot.stamps.keys():
                self.past_refused = past.verdict.refused
        for path in self.ledger.paths - self.snapshot.stamps.keys():
            self.ledger.drop(path)
        jobs = [
            (path, self.ledger.known(path))
            for path, stamp in self.snapshot.stamps.items()
            if stamps.get(path) != stamp or path in unsettled
        ]
        done = count = 0

        def take(path: str, record: Record | None) -> None:
            nonlocal done, count
            if record is not None:
                self.ledger.put(path, record)
            done += 1
            count += record is not None
            if progress is not None:
                progress(done, total)

        total = len(jobs)
        self.read_jobs(jobs, processes, take)
        return count

    def read_jobs(
        self, jobs: list[tuple[str, bytes]], processes: int, done: Callable[[str, Record | None], None]
    ) -> None:
        size = sum(self.snapshot.stamps[path].size for path, _ in jobs)
        if len(jobs) <= _FEW and size <= _SMALL:
            for path, known in jobs:
                done(path, self.read_one(path, known))
        else:
            # The largest first, so that none is left for the end.
            jobs.sort(key=lambda job: self.snapshot.stamps[job[0]].size, reverse=True)
            # One edit is read before the pipes and processes of many are even loaded.
            from argosy.refit.readers import read_files  # noqa: PLC0415

            load = partial(load_askable, has_fleet=self.fleet is not None)
            read_files(self.root, jobs, processes, done, load)

    def read_one(self, path: str, known: bytes) -> Record | None:
        """Read a file by no more rules than look at it; one that Python cannot run by all."""
        data = read_data(os.path.join(self.root, path))
        if path.endswith(".py") and isinstance(data, bytes):
            about = [
                sketch
                for sketch in self.catalogue.rules
                if sketch.is_file and (not sketch.words or words_in(data, sketch.words))
            ]
            kinds = [sketch.load() for sketch in self.catalogue.kinds]
            record = Reader(self.root, [sketch.load() for sketch in about], kinds).read(path, known)
            if record is None or record.unparsed is None:
                return record
        return Reader(self.root, load_askable(has_fleet=self.fleet is not None)).read(path, known)

    def verdict(self) -> Verdict:
        """Ask the rules that look at several files, and return all findings."""
        ledger = self.ledger
        unparsed = dict(sorted(ledger.unparsed.items()))
        tree = Tree(self.root, ledger.paths, ledger.facts, unparsed, self.snapshot.entries, self.fleet)
        stages = sorted((path, fault.stage) for path, fault in unparsed.items())
        self.base = digest_of([msgspec.msgpack.encode(self.snapshot.entries), msgspec.msgpack.encode(stages)])
        judge = _Judge(tree, ledger, self.base, self.failures)
        self.failures += [item for held in ledger.failures.values() for item in held]
        for sketch in self.catalogue.rules:
            if sketch.is_joint:
                judge.ask(sketch)
        self.answers = judge.answers
        self.failed = judge.failed
        for answers in judge.answers.values():
            self.asked.update(answers)
        told: list[Finding] = []
        self.silenced: list[Finding] = []
        for item in ledger.findings():
            (self.silenced if _is_ignored(item, ledger.ignores) else told).append(item)
        return Verdict(
            files=sum(path.endswith(".py") for path in ledger.paths),
            unparsed=unparsed,
            findings=tuple(sorted(told)),
            ignored=len(self.silenced),
            failures=tuple(sorted(set(self.failures))),
            refused=dict(self.refused()),
        )

    def keep(self, twin: bytes) -> None:
        """Write down what is known beside the verdict. twin: what the two are known by."""
        self.ledger.keep(twin, self.base, self.silenced, self.answers, self.failed)

    def refused(self) -> Iterator[tuple[str, str]]:
        """Yield the rules that were not asked, and why: those that something of this tree is for."""
        if self.past_refused is not None:
            yield from self.past_refused.items()
            return
        for rule in load_rules():
            reason = rule.refusal(has_fleet=self.fleet is not None)
            names = Names(rule.names)
            is_about = rule.lacks is None or any(
                names.fit(path, path.rpartition("/")[2]) for path in self.snapshot.stamps
            )
            if reason and is_about:
                yield rule.code, reason


class _Judge:
    """Asks the rules that need facts, each only where what it looks at is not as it was.

    answers: what the disk said to each rule, by its code. failed: the codes of rules that failed somewhere.
    """

    def __init__(self, tree: Tree, ledger: Ledger, base: bytes, failures: list[Failure]) -> None:
        self.tree = tree
        self.ledger = ledger
        self.base = base
        self.failures = failures
        self.answers: dict[str, Mapping[str, bool]] = {}
        self.failed: set[str] = set()
        self._there: dict[str, bool] = {}

    def ask(self, sketch: RuleSketch) -> None:
        """Have the ledger know what a rule finds in the light of several files."""
        answers = self.ledger.asked(sketch.code)
        if self.ledger.is_as_it_was(sketch.code, self.base, sketch.kinds) and self.is_answered(answers):
            self.answers[sketch.code] = answers
            return
        rule = sketch.load()
        past = self.ledger.linked(rule.code)
        now: dict[str, Linked] = {}
        if rule.link is not None:
            seen = digest_of([self.base, *(self.ledger.mark(kind.name) for kind in rule.sees)])
            needed = [self.ledger.facts(kind.name) for kind in rule.needs]
            for path in self.tree.paths:
                if any(path in held for held in needed):
                    own = [held.get(path, b"") for held in needed]
                    self.take(rule, path, rule.link, digest_of([seen, *own]), past, now)
        if rule.tree is not None:
            key = digest_of([self.base, *(self.ledger.mark(kind.name) for kind in rule.needs)])
            whole = rule.tree
            self.take(rule, "", lambda tree, _: whole(tree), key, past, now)
        self.answers[rule.code] = {path: told for kept in now.values() for path, told in kept.asked.items()}
        self.ledger.link(rule.code, now)

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
        if kept is not None and kept.key == key and self.is_answered(kept.asked):
            now[path] = kept
            return
        try:
            found = tuple(rule.stamp(check(self.tree, path)))
            # What an earlier rule asked for may stand behind what both derive of the tree.
            now[path] = Linked(key, found, {} if path else dict(self.tree.asked))
        except Exception as error:  # a rule that fails is told, and stops no other
            self.failed.add(rule.code)
            self.failures.append(Failure(path, rule.code, describe(error)))

    def is_answered(self, asked: Mapping[str, bool]) -> bool:
        """Return whether the disk says of what a rule asked what it said then."""
        return all(self.is_there(path) is answer for path, answer in asked.items())

    def is_there(self, path: str) -> bool:
        """Return what the disk says of a path; asked once."""
        if path not in self._there:
            self._there[path] = is_there(self.tree.root, path)
        return self._there[path]


def _is_ignored(finding: Finding, silent: Mapping[str, tuple[Ignore, ...]]) -> bool:
    return any(ignore.covers(finding) for ignore in silent.get(finding.path, ()))
