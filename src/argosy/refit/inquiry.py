"""Asks the rules about a tree that has changed: each file that is new, and what hangs on new facts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.refit.cache import Cache, Catalogue, Linked, Seen, Verdict, digest_of
from argosy.refit.fact import FactKind
from argosy.refit.file import words_in
from argosy.refit.finding import Failure, Finding, Ignore
from argosy.refit.ledger import Ledger, Stored
from argosy.refit.reader import Reader, describe
from argosy.refit.record import Record
from argosy.refit.rule import Rule, fact_kinds, load_askable, load_rules, sketch_askable
from argosy.refit.sketch import RuleSketch, sketch_kinds
from argosy.refit.tree import Tree
from argosy.refit.walk import Names, Snapshot, Stamp, is_there
from argosy.source.text import read_data

if TYPE_CHECKING:
    from argosy.refit.fleetfile import FleetFile

# So few files, or so few bytes, are read before a second process has started.
_FEW, _SMALL = 8, 200_000
# What rules say of fewer files is said before a second process has begun.
_MANY = 200

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
        # Those that were loaded for one edit; in a tree that is new nothing has moved.
        self._kinds: dict[str, FactKind[Any]] = {}
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
                self.ledger.put(path, record, self._kinds)
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
            name = os.path.basename(path)
            kinds = [sketch.load() for sketch in self.catalogue.kinds if sketch.only in ("", name)]
            record = self._read_by([sketch.load() for sketch in about], kinds, path, known)
            if record is None or record.unparsed is None:
                return record
        rules = load_askable(has_fleet=self.fleet is not None)
        return self._read_by(rules, fact_kinds(rules), path, known)

    def _read_by(
        self, rules: Sequence[Rule], kinds: Sequence[FactKind[Any]], path: str, known: bytes
    ) -> Record | None:
        self._kinds.update((kind.name, kind) for kind in kinds)
        return Reader(self.root, rules, kinds).read(path, known)

    def verdict(self, processes: int = 1) -> Verdict:
        """Ask the rules that look at several files, in so many processes, and return all findings."""
        ledger = self.ledger
        unparsed = dict(sorted(ledger.unparsed.items()))
        tree = Tree(self.root, ledger.paths, ledger.facts, unparsed, self.snapshot.entries, self.fleet)
        stages = sorted((path, fault.stage) for path, fault in unparsed.items())
        self.base = digest_of([msgspec.msgpack.encode(self.snapshot.entries), msgspec.msgpack.encode(stages)])
        judge = _Judge(tree, ledger, self.base, self.failures)
        self.failures += [item for held in ledger.failures.values() for item in held]
        judge.ask([sketch for sketch in self.catalogue.rules if sketch.is_joint], processes)
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


class _Told(msgspec.Struct, array_like=True):
    """What a rule says of several files.

    now: by path, None where it says what it said before. asked: of the disk, and the answers.
    """

    code: str
    now: dict[str, Linked | None]
    asked: dict[str, bool]
    failures: list[Failure]


def _grouped(sketches: Iterable[RuleSketch]) -> list[list[RuleSketch]]:
    """Return rules in groups, the largest first: those that read one kind of facts derive the same of it."""
    groups: list[list[RuleSketch]] = []
    for sketch in sketches:
        near = [group for group in groups if any(set(sketch.kinds) & set(item.kinds) for item in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(item for group in near for item in group), sketch])
    return sorted(groups, key=len, reverse=True)


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

    def ask(self, sketches: Iterable[RuleSketch], processes: int) -> None:
        """Have the ledger know what rules find in the light of several files."""
        anew: list[RuleSketch] = []
        for sketch in sketches:
            answers = self.ledger.asked(sketch.code)
            is_known = self.ledger.is_as_it_was(sketch.code, self.base, sketch.kinds)
            is_known &= self.ledger.follow(sketch.code, sketch.kinds)
            if is_known and not self.ledger.has_failed(sketch.code) and self.is_answered(answers):
                self.answers[sketch.code] = answers
            else:
                anew.append(sketch)
        groups = _grouped(anew)
        if processes > 1 and len(groups) > 1 and len(self.tree.paths) >= _MANY:
            from argosy.refit.desks import can_fork  # noqa: PLC0415 - one edit concerns few rules

            if can_fork():
                self._ask_at_once(groups, processes)
                return
        for sketch in anew:
            self._settle(self._told(sketch))

    def _ask_at_once(self, groups: Sequence[Sequence[RuleSketch]], processes: int) -> None:
        """Ask groups of rules in several processes, each of which begins with all that is known here."""
        from argosy.refit.desks import work_through  # noqa: PLC0415

        for sketch in (item for group in groups for item in group):
            # What is spoilt is told here, and not by the end of a process.
            self.ledger.linked(sketch.code)
            for kind in sketch.kinds:
                self.ledger.facts(kind)

        def work(job: bytes) -> bytes:
            return msgspec.msgpack.encode([self._told(sketch) for sketch in groups[int(job)]])

        def done(number: int, answer: bytes | int) -> None:
            # What ended a process does here what it would have done without one.
            data = work(b"%d" % number) if isinstance(answer, int) else answer
            for told in msgspec.msgpack.decode(data, type=list[_Told]):
                self._settle(told)

        work_through([b"%d" % number for number in range(len(groups))], processes, lambda: work, done, 1)

    def _told(self, sketch: RuleSketch) -> _Told:
        """Return what a rule says."""
        rule = sketch.load()
        told = _Told(rule.code, {}, {}, [])
        past = self.ledger.linked(rule.code)
        if rule.link is not None:
            is_seen = self.ledger.is_as_it_was(rule.code, self.base, [kind.name for kind in rule.sees])
            own = self.ledger.changed(kind.name for kind in rule.needs)
            needed = [self.ledger.facts(kind.name) for kind in rule.needs]
            for path in self.tree.paths:
                if any(path in held for held in needed):
                    kept = past.get(path) if is_seen and path not in own else None
                    self._take(rule, path, rule.link, kept, told)
        if rule.tree is not None:
            is_seen = self.ledger.is_as_it_was(rule.code, self.base, [kind.name for kind in rule.needs])
            whole = rule.tree
            self._take(rule, "", lambda tree, _: whole(tree), past.get("") if is_seen else None, told)
        return told

    def _take(
        self,
        rule: Rule,
        path: str,
        check: Callable[[Tree, str], Iterable[Finding]],
        kept: Linked | None,
        told: _Told,
    ) -> None:
        """Take what a rule says of a path. kept: what it said before, where that still holds."""
        if kept is not None and self.is_answered(kept.asked):
            told.now[path] = None
            told.asked.update(kept.asked)
            return
        try:
            found = tuple(rule.stamp(check(self.tree, path)))
            # What an earlier rule asked for may stand behind what both derive of the tree.
            asked = {} if path else dict(self.tree.asked)
            told.now[path] = Linked(found, asked)
            told.asked.update(asked)
        except Exception as error:  # a rule that fails is told, and stops no other
            told.failures.append(Failure(path, rule.code, describe(error)))

    def _settle(self, told: _Told) -> None:
        """Take in what a rule says."""
        past = self.ledger.linked(told.code)
        self.answers[told.code] = told.asked
        self.failures += told.failures
        if told.failures:
            self.failed.add(told.code)
        self.ledger.link(told.code, {path: made or past[path] for path, made in told.now.items()})

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
