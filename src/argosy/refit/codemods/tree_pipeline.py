"""Runs a whole tree through the codemods: read, plan in several processes, write as one run."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from argosy.fleet import Fleet
from argosy.refit.codemods.file_pipeline import FileOutcome, rewrite_file
from argosy.refit.codemods.unused_imports import UnusedImport
from argosy.refit.core.discovery import scan_tree
from argosy.refit.core.file_analyzer import describe_error
from argosy.refit.core.worker_pool import JobFunction, can_fork, map_in_processes
from argosy.refit.rewrite.codemod import Codemod
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.b501_own_base_class.codemod import BASE_CLASS, MIN_SUBCLASSES
from argosy.refit.rules.b501_own_base_class.codemod import CODEMOD as BASE_CODEMOD
from argosy.refit.transaction.atomic_replace import Conflict
from argosy.refit.transaction.file_transaction import Transaction, lock_tree
from argosy.refit.transaction.post_checks import CHECK_DESCRIPTIONS
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite
from argosy.refit.transaction.verify import bisect_failures, require_success, run_command
from argosy.source.python_parser import pause_gc

_BATCH_SIZE: Final = 8
_SINGLE_PROCESS_LIMIT: Final = 24  # so few files take less time than starting processes

ProgressCallback = Callable[[int, int], None]


class RefitReport(msgspec.Struct, frozen=True):
    """The result of a refit. It adds up: sites = migrated + refused, for each code.

    files: how many Python files the tree has. before, after: the contents of the changed files, by path.
    parse_errors: the files that a codemod may concern and that do not parse, with the reason.
    unreadable: files that could not be read, with the reason. virtual_environments: excluded directories.
    unused_imports: imports of changed files that the rewrite left unused and that are kept.
    concurrently_edited: files that were edited while a command verified them, so that they have both the
    rewrite and the edit, with the command's output.
    """

    root: str
    files: int
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    migrated: tuple[RewriteSite, ...]
    refused: tuple[RefusedSite, ...]
    checks: Mapping[str, tuple[int, int]]
    parse_errors: Mapping[str, str]
    unreadable: Mapping[str, str]
    virtual_environments: tuple[str, ...]
    seconds: float
    unused_imports: tuple[UnusedImport, ...] = ()
    run: str | None = None
    concurrently_edited: Mapping[str, str] = {}

    def site_counts(self) -> dict[str, dict[str, int]]:
        """Return by code how many sites were migrated and how many refused."""
        migrated = Counter(site.code for site in self.migrated)
        refused = Counter(item.code for item in self.refused)
        codes = sorted(migrated.keys() | refused.keys())
        return {code: {"migrated": migrated[code], "refused": refused[code]} for code in codes}

    def with_refused(self, reasons: Mapping[str, str]) -> RefitReport:
        """Return the report with some files unchanged and their sites refused for these reasons."""
        newly_refused = [
            RefusedSite(site.path, site.line, site.code, reasons[site.path])
            for site in self.migrated
            if site.path in reasons
        ]
        return msgspec.structs.replace(
            self,
            before={path: data for path, data in self.before.items() if path not in reasons},
            after={path: data for path, data in self.after.items() if path not in reasons},
            migrated=tuple(site for site in self.migrated if site.path not in reasons),
            refused=tuple(sorted([*self.refused, *newly_refused])),
            unused_imports=tuple(item for item in self.unused_imports if item.path not in reasons),
        )


def plan_codemods(
    root: str,
    codemods: Sequence[Codemod],
    *,
    fleet: Fleet | None = None,
    exclude: Sequence[str] = (),
    processes: int | None = None,
    progress: ProgressCallback | None = None,
) -> RefitReport:
    """Return what a refit of the tree would do; writes nothing.

    fleet: the source of addresses; None refuses the rewrites that need one.
    processes: how many plan in parallel (default: the number of cores).
    """
    started_s = time.perf_counter()
    snapshot = scan_tree(root, (), exclude)
    files, unreadable = _read_files(root, snapshot.file_stats, snapshot.virtual_environments)
    index = TreeIndex(files, fleet)
    index.replaced_bases.update(_replaced_bases(files, index, codemods))
    finished: list[FileOutcome] = []

    def done(outcome: FileOutcome) -> None:
        finished.append(outcome)
        if progress:
            progress(len(finished), len(files))

    _plan_all(files, index, codemods, processes or os.cpu_count() or 1, done)
    outcomes = sorted((each for each in finished if each.is_relevant), key=lambda outcome: outcome.path)
    after = {each.path: each.after for each in outcomes if each.after is not None}
    return RefitReport(
        root=root,
        files=len(files),
        before={path: files[path] for path in after},
        after=after,
        migrated=tuple(site for each in outcomes for site in each.migrated),
        refused=tuple(item for each in outcomes for item in each.refused),
        checks=_count_checks(outcomes),
        parse_errors={each.path: each.parse_error for each in outcomes if each.parse_error},
        unreadable={**snapshot.unreadable, **unreadable},
        virtual_environments=snapshot.virtual_environments,
        seconds=time.perf_counter() - started_s,
        unused_imports=tuple(item for each in outcomes for item in each.unused_imports),
    )


def apply_codemods(report: RefitReport, command: str | None = None) -> RefitReport:
    """Write a planned refit as one run; return the report of what was actually written.

    command: the project's own check, run last; files with which it fails are restored.
    Raises RefusedError: another refit is running here. InputError: the command fails before any change.
    """
    if not report.after:
        return report
    if command:
        require_success(command, report.root)
    with lock_tree(report.root):
        run = Transaction(report.root)
        contents = {path: (report.before[path], data) for path, data in report.after.items()}
        conflicts = run.apply(contents)
        report = report.with_refused({item.path: item.reason for item in conflicts})
        if command and run.files:
            report = _verify_applied(report, run, command)
    return msgspec.structs.replace(report, run=run.name if run.files else None)


def _verify_applied(report: RefitReport, run: Transaction, command: str) -> RefitReport:
    """Run the project's command on the rewritten tree, and restore the files with which it fails."""
    try:
        paths = [entry.path for entry in run.files]
        failing, output, conflicts = _bisect_applied(report, run, command, paths)
        run.commit()
    except BaseException:
        run.rollback()
        raise
    reasons = {item.path: item.reason for item in conflicts}
    reasons |= {path: f"gate `verify`: `{command}` fails with it: {output[path]}" for path in failing}
    edited = {path: reason for path, reason in reasons.items() if path in run.applied}
    report = report.with_refused({path: reason for path, reason in reasons.items() if path not in edited})
    counts = (len(report.after) - len(edited.keys() & set(failing)), len(failing))
    return msgspec.structs.replace(
        report, checks={**report.checks, "verify": counts}, concurrently_edited=edited
    )


def _bisect_applied(
    report: RefitReport, run: Transaction, command: str, paths: list[str]
) -> tuple[list[str], dict[str, str], list[Conflict]]:
    """Return the failing files with the command's output, and the files edited concurrently."""
    last_lines: dict[str, str] = {}
    conflicts: list[Conflict] = []
    applied = set(paths)

    def succeeds(selected: Sequence[str]) -> bool:
        nonlocal applied
        conflicts.extend(run.select_files(set(selected), report.after))
        applied = set(selected)
        result = run_command(command, report.root)
        if not result.succeeded:
            last_lines[selected[-1]] = (
                next(reversed(result.output.splitlines()), "") if result.output else "no output"
            )
        return result.succeeded

    passing, failing = bisect_failures(paths, succeeds)
    if applied != set(passing):
        conflicts.extend(run.select_files(set(passing), report.after))
    run.keep_applied()
    return failing, last_lines, conflicts


def _replaced_bases(
    files: Mapping[str, bytes], index: TreeIndex, codemods: Sequence[Codemod]
) -> Iterator[tuple[str, str]]:
    """Yield the bases that argosy's replace in this run; other codemods depend on it."""
    if BASE_CODEMOD not in codemods:
        return
    for path, name in index.common_bases(MIN_SUBCLASSES):
        if BASE_CODEMOD.may_match(files[path]):
            outcome = rewrite_file(path, files[path], index, codemods)
            if any(site.code == BASE_CLASS for site in outcome.migrated):
                yield path, name


def _read_files(
    root: str, paths: Mapping[str, object], virtual_environments: Sequence[str]
) -> tuple[dict[str, bytes], dict[str, str]]:
    files: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    inside = tuple(f"{path}/" if path else "" for path in virtual_environments)
    for path in sorted(paths):
        if not path.endswith(".py") or (inside and path.startswith(inside)):
            continue
        try:
            with open(os.path.join(root, path), "rb") as file:
                files[path] = file.read()
        except OSError as error:
            unreadable[path] = (error.strerror or str(error)).lower()
    return files, unreadable


def _count_checks(outcomes: Sequence[FileOutcome]) -> dict[str, tuple[int, int]]:
    """Return by check how many files passed and how many failed."""
    counts = {name: [0, 0] for name in CHECK_DESCRIPTIONS if name != "verify"}
    for outcome in outcomes:
        counts["input"][bool(outcome.parse_error)] += 1
        for name, reason in outcome.checks.items():
            counts[name][bool(reason)] += 1
    return {name: (passed, failed) for name, (passed, failed) in counts.items()}


def _plan_all(
    files: Mapping[str, bytes],
    index: TreeIndex,
    codemods: Sequence[Codemod],
    processes: int,
    on_outcome: Callable[[FileOutcome], None],
) -> None:
    """Call `on_outcome` with the outcome of each file, in any order."""

    def plan(path: str) -> FileOutcome:
        try:
            with pause_gc():
                return rewrite_file(path, files[path], index, codemods)
        except Exception as error:  # a codemod that fails on one file does not stop the others
            reason = f"planning failed: {describe_error(error)}; this is a bug in argosy"
            return FileOutcome(path, checks={"tree": reason}, parse_error=reason)

    def make_worker() -> JobFunction:
        return lambda job: msgspec.msgpack.encode(plan(job.decode()))

    if processes < 2 or len(files) <= _SINGLE_PROCESS_LIMIT or not can_fork():
        for path in files:
            on_outcome(plan(path))
        return
    # Large files first, so that no process finishes long after the others.
    largest_first = sorted(files, key=lambda path: -len(files[path]))
    decoder = msgspec.msgpack.Decoder(FileOutcome)

    def on_answer(number: int, answer: bytes | int) -> None:
        if isinstance(answer, int):
            reason = f"the process that planned it ended (exit code {answer})"
            on_outcome(FileOutcome(largest_first[number], parse_error=reason))
        else:
            on_outcome(decoder.decode(answer))

    # Forked processes share the files and the index: only paths are sent to them.
    map_in_processes(
        [path.encode() for path in largest_first], processes, make_worker, on_answer, _BATCH_SIZE
    )
