"""A whole tree through the rewrites: read, plan in several processes, write as one run."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from argosy.fleet import Fleet
from argosy.refit.desks import Work, can_fork, work_through
from argosy.refit.reader import describe
from argosy.refit.rewrite import standins
from argosy.refit.rewrite.exchange import Kept
from argosy.refit.rewrite.gates import MEANINGS
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.leftovers import Leftover
from argosy.refit.rewrite.plan import Outcome, Rewrite, refit_file
from argosy.refit.rewrite.run import Run, locked
from argosy.refit.rewrite.verify import find_guilty, require_good, run_command
from argosy.refit.rewrite.view import Refusal, Site
from argosy.refit.walk import take_snapshot
from argosy.source.collector import collector_paused

_BATCH: Final = 8
_FEW: Final = 24  # so few files are done before other processes have started

Progress = Callable[[int, int], None]


class Account(msgspec.Struct, frozen=True):
    """What a refit came to. It closes: sites = migrated + refused, for each code.

    files: how many Python files the tree has. before, after: the files that change, by path.
    unparsed: the files that a rewrite might have concerned and that do not parse, and why.
    left_out: files that could not be read, and why. environments: virtual environments, which are nobody's
    own code. leftovers: imports of changed files that nothing uses since, and that stay. edited: files that
    somebody changed while a command judged them, so that they stand rewritten and with that change, and what
    was said of them.
    """

    root: str
    files: int
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    migrated: tuple[Site, ...]
    refused: tuple[Refusal, ...]
    gates: Mapping[str, tuple[int, int]]
    unparsed: Mapping[str, str]
    left_out: Mapping[str, str]
    environments: tuple[str, ...]
    seconds: float
    leftovers: tuple[Leftover, ...] = ()
    run: str | None = None
    edited: Mapping[str, str] = {}

    def sites(self) -> dict[str, dict[str, int]]:
        """Return by code how many sites were found to be migrated and how many refused."""
        migrated = Counter(site.code for site in self.migrated)
        refused = Counter(item.code for item in self.refused)
        codes = sorted(migrated.keys() | refused.keys())
        return {code: {"migrated": migrated[code], "refused": refused[code]} for code in codes}

    def without(self, reasons: Mapping[str, str]) -> Account:
        """Return the account with some files left as they were, their sites refused for these reasons."""
        moved = [
            Refusal(site.path, site.line, site.code, reasons[site.path])
            for site in self.migrated
            if site.path in reasons
        ]
        return msgspec.structs.replace(
            self,
            before={path: data for path, data in self.before.items() if path not in reasons},
            after={path: data for path, data in self.after.items() if path not in reasons},
            migrated=tuple(site for site in self.migrated if site.path not in reasons),
            refused=tuple(sorted([*self.refused, *moved])),
            leftovers=tuple(item for item in self.leftovers if item.path not in reasons),
        )


def plan_refit(
    root: str,
    rewrites: Sequence[Rewrite],
    *,
    fleet: Fleet | None = None,
    exclude: Sequence[str] = (),
    processes: int | None = None,
    progress: Progress | None = None,
) -> Account:
    """Return what a refit of the tree would do; writes nothing.

    fleet: where addresses come from; None refuses the rewrites that need one.
    processes: how many plan at once (default: as many as there are cores).
    """
    started_s = time.perf_counter()
    snapshot = take_snapshot(root, (), exclude)
    files, left_out = _read(root, snapshot.stamps, snapshot.environments)
    index = Index(files, fleet)
    index.exchanged.update(_exchanged_bases(files, index, rewrites))
    every: list[Outcome] = []

    def done(outcome: Outcome) -> None:
        every.append(outcome)
        if progress:
            progress(len(every), len(files))

    _plan_all(files, index, rewrites, processes or os.cpu_count() or 1, done)
    outcomes = sorted((each for each in every if each.is_asked), key=lambda outcome: outcome.path)
    after = {each.path: each.after for each in outcomes if each.after is not None}
    return Account(
        root=root,
        files=len(files),
        before={path: files[path] for path in after},
        after=after,
        migrated=tuple(site for each in outcomes for site in each.migrated),
        refused=tuple(item for each in outcomes for item in each.refused),
        gates=_count_gates(outcomes),
        unparsed={each.path: each.unparsed for each in outcomes if each.unparsed},
        left_out={**snapshot.unreadable, **left_out},
        environments=snapshot.environments,
        seconds=time.perf_counter() - started_s,
        leftovers=tuple(item for each in outcomes for item in each.leftovers),
    )


def apply_refit(account: Account, command: str | None = None) -> Account:
    """Write what was planned, as one run; return the account of what was really written.

    command: the project's own, as the last gate; files that it fails with are put back.
    Raises RefusedError: another refit is at work here. InputError: the command fails before any change.
    """
    if not account.after:
        return account
    if command:
        require_good(command, account.root)
    with locked(account.root):
        run = Run(account.root)
        contents = {path: (account.before[path], data) for path, data in account.after.items()}
        kept = run.apply(contents)
        account = account.without({item.path: item.reason for item in kept})
        if command and run.files:
            account = _verified(account, run, command)
    return msgspec.structs.replace(account, run=run.name if run.files else None)


def _verified(account: Account, run: Run, command: str) -> Account:
    """Run the project's command over the rewritten tree, and take back what it fails with."""
    try:
        paths = [entry.path for entry in run.files]
        guilty, output, kept = _bisect(account, run, command, paths)
        run.close()
    except BaseException:
        run.take_back()
        raise
    reasons = {item.path: item.reason for item in kept}
    reasons |= {path: f"gate `verify`: `{command}` fails with it: {output[path]}" for path in guilty}
    edited = {path: reason for path, reason in reasons.items() if path in run.standing}
    account = account.without({path: reason for path, reason in reasons.items() if path not in edited})
    counts = (len(account.after) - len(edited.keys() & set(guilty)), len(guilty))
    return msgspec.structs.replace(account, gates={**account.gates, "verify": counts}, edited=edited)


def _bisect(
    account: Account, run: Run, command: str, paths: list[str]
) -> tuple[list[str], dict[str, str], list[Kept]]:
    """Return the guilty files, what was said of each, and files that somebody else changed meanwhile."""
    said: dict[str, str] = {}
    kept: list[Kept] = []
    standing = set(paths)

    def is_good(chosen: Sequence[str]) -> bool:
        nonlocal standing
        kept.extend(run.switch(set(chosen), account.after))
        standing = set(chosen)
        told = run_command(command, account.root)
        if not told.is_good:
            said[chosen[-1]] = next(reversed(told.output.splitlines()), "") if told.output else "no output"
        return told.is_good

    good, guilty = find_guilty(paths, is_good)
    if standing != set(good):
        kept.extend(run.switch(set(good), account.after))
    run.settle()
    return guilty, said, kept


def _exchanged_bases(
    files: Mapping[str, bytes], index: Index, rewrites: Sequence[Rewrite]
) -> Iterator[tuple[str, str]]:
    """Yield the bases that argosy's takes the place of in this run: other rewrites build on that."""
    if not any(standins.BASE in each.codes for each in rewrites):
        return
    for path, name in index.common_bases(standins.FEWEST_DERIVED):
        if standins.may_hold(files[path]):
            outcome = refit_file(path, files[path], index, rewrites)
            if any(site.code == standins.BASE for site in outcome.migrated):
                yield path, name


def _read(
    root: str, paths: Mapping[str, object], environments: Sequence[str]
) -> tuple[dict[str, bytes], dict[str, str]]:
    files: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    inside = tuple(f"{path}/" if path else "" for path in environments)
    for path in sorted(paths):
        if not path.endswith(".py") or (inside and path.startswith(inside)):
            continue
        try:
            with open(os.path.join(root, path), "rb") as file:
                files[path] = file.read()
        except OSError as error:
            left_out[path] = (error.strerror or str(error)).lower()
    return files, left_out


def _count_gates(outcomes: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Return by gate how many files passed it and how many it stopped."""
    told = {name: [0, 0] for name in MEANINGS if name != "verify"}
    for outcome in outcomes:
        told["input"][bool(outcome.unparsed)] += 1
        for name, reason in outcome.gates.items():
            told[name][bool(reason)] += 1
    return {name: (passed, failed) for name, (passed, failed) in told.items()}


def _plan_all(
    files: Mapping[str, bytes],
    index: Index,
    rewrites: Sequence[Rewrite],
    processes: int,
    done: Callable[[Outcome], None],
) -> None:
    """Tell `done` what becomes of each file, in any order."""

    def plan(path: str) -> Outcome:
        try:
            with collector_paused():
                return refit_file(path, files[path], index, rewrites)
        except Exception as error:  # a rewrite that fails on one file is told, and stops no other
            why = f"it could not be planned: {describe(error)}; this is a fault of argosy"
            return Outcome(path, gates={"plan": why}, unparsed=why)

    def load() -> Work:
        return lambda job: msgspec.msgpack.encode(plan(job.decode()))

    if processes < 2 or len(files) <= _FEW or not can_fork():
        for path in files:
            done(plan(path))
        return
    # The large ones first, so that no process ends long after the others.
    ordered = sorted(files, key=lambda path: -len(files[path]))
    decoder = msgspec.msgpack.Decoder(Outcome)

    def take(number: int, answer: bytes | int) -> None:
        if isinstance(answer, int):
            why = f"it made the process that read it end (exit code {answer})"
            done(Outcome(ordered[number], unparsed=why))
        else:
            done(decoder.decode(answer))

    # A fork has the files and the index by being one: nothing but paths is sent to it.
    work_through([path.encode() for path in ordered], processes, load, take, _BATCH)
