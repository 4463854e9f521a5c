"""Audits a tree: reads what has changed, asks the rules, and returns everything that they found.

Nothing of the tree is imported or run. What can be told of a file alone is told when it is read, and kept
with its content's digest; what needs other files is told from facts, and kept with a digest of
those facts. So a tree in which nothing has changed costs one look at the stamps of its files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from argosy.refit.core.audit_cache import (
    AuditResult,
    CachedAudit,
    TreeCache,
    code_fingerprint,
    digest_of,
    find_racy_files,
)
from argosy.refit.core.discovery import scan_tree
from argosy.refit.core.finding import Finding
from argosy.refit.core.hadolint import hadolint_fingerprint
from argosy.source.gc_pause import pause_gc
from argosy.source.python_source import read_source_bytes

if TYPE_CHECKING:
    from argosy.refit.core.analysis_run import OnProgress


class AuditReport(msgspec.Struct, frozen=True):
    """The account of one audit.

    sizes: the bytes of every file that was looked at, by path. read: how many had to be read anew.
    unreadable: folders that could not be listed, and why. environments: virtual environments below the
    root, whose files are audited like all others. titles: of all rules, by code.
    """

    root: str
    result: AuditResult
    sizes: Mapping[str, int]
    files_analyzed: int
    unreadable: Mapping[str, str]
    virtual_environments: tuple[str, ...]
    duration_s: float
    rule_titles: Mapping[str, str]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.result.findings

    @property
    def skipped_rules(self) -> Mapping[str, str]:
        return self.result.skipped_rules


def audit(
    root: str | os.PathLike[str],
    *,
    exclude: Sequence[str] = (),
    fleet: str | os.PathLike[str] | None = None,
    cache_dir: Path | None = None,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> AuditReport:
    """Return everything that the rules find below `root`.

    exclude: globs of what to leave out. fleet: the fleet file to compare with. cache: the folder of
    memories, None for none. processes: how many read at once (default: as many as there are cores).
    progress: told how many files are read, of how many.

    Raises InputError: the fleet file cannot be read, or a value in it does not fit its key.
    """
    with pause_gc():  # what is remembered of a tree is many small objects, none of them garbage
        path = None if fleet is None else os.path.abspath(fleet)
        return _audit(os.path.realpath(root), exclude, path, cache_dir, processes, on_progress)


def _audit(
    root: str,
    exclude: Sequence[str],
    fleet: str | None,
    cache_dir: Path | None,
    processes: int | None,
    on_progress: OnProgress | None,
) -> AuditReport:
    started = time.perf_counter()
    tree_cache = TreeCache(cache_dir, root, exclude)
    key = digest_of(
        [code_fingerprint(), *_fleet_fingerprint(fleet), b"hadolint", *hadolint_fingerprint(root)]
    )
    previous = tree_cache.load("seen", CachedAudit)
    if previous is None or previous.key != key:
        previous = None
        from argosy.refit.core.analysis_run import build_rule_catalog  # noqa: PLC0415

        catalog = build_rule_catalog(has_fleet=fleet is not None)
    else:
        catalog = previous.catalog
    scanned_at_ns = time.time_ns()
    snapshot = scan_tree(root, catalog.file_patterns, exclude)
    if previous is not None and previous.is_valid(root, snapshot):
        result, files_analyzed = previous.result, 0
    else:
        # The rules and all that they read with cost more to load than an unchanged tree to look at.
        from argosy.refit.core.analysis_run import AnalysisRun  # noqa: PLC0415
        from argosy.refit.core.fact_store import CacheCorruptError  # noqa: PLC0415

        audited_fleet = None
        if fleet is not None:
            from argosy.refit.core.audited_fleet import load_audited_fleet  # noqa: PLC0415

            audited_fleet = load_audited_fleet(tree_cache, fleet, key)
        worker_count = processes or os.cpu_count() or 1

        def analyze(earlier: CachedAudit | None) -> tuple[AnalysisRun, int, AuditResult]:
            run = AnalysisRun(root, snapshot, audited_fleet, key, catalog, tree_cache)
            return (
                run,
                run.analyze_changed_files(earlier, worker_count, on_progress),
                run.evaluate_rules(worker_count),
            )

        try:
            run, files_analyzed, result = analyze(previous)
        except CacheCorruptError:
            run, files_analyzed, result = analyze(None)
        # The one is of use only with the other: a process may die between the two.
        pairing_id = os.urandom(8)
        run.save(pairing_id)
        racy_files = find_racy_files(snapshot, scanned_at_ns)
        tree_cache.store(
            "seen", CachedAudit(key, pairing_id, catalog, snapshot, racy_files, run.path_checks, result)
        )
    return AuditReport(
        root=root,
        result=result,
        sizes={path: stamp.size for path, stamp in snapshot.file_stats.items()},
        files_analyzed=files_analyzed,
        unreadable=snapshot.unreadable,
        virtual_environments=snapshot.virtual_environments,
        duration_s=time.perf_counter() - started,
        rule_titles=catalog.titles,
    )


def _fleet_fingerprint(fleet: str | None) -> tuple[bytes, ...]:
    """Return what tells a fleet file from another; one that cannot be read is told when it is asked for."""
    if fleet is None:
        return ()
    data = read_source_bytes(fleet)
    return (os.fsencode(fleet), data if isinstance(data, bytes) else b"")
