"""Audits a tree: reads the changed files, evaluates the rules, and returns all findings.

Nothing in the tree is imported or run. Results that depend on one file are cached with the digest of its
content; results that depend on several files are computed from facts and cached with a digest of those facts.
So auditing an unchanged tree costs one stat of each file.
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
from argosy.source.python_parser import pause_gc
from argosy.source.python_source import read_source_bytes

if TYPE_CHECKING:
    from argosy.refit.audit.analysis_run import OnProgress


class AuditReport(msgspec.Struct, frozen=True):
    """The report of one audit.

    sizes: the bytes of every file, by path. files_analyzed: how many files were read and analyzed.
    unreadable: folders that could not be listed, and why. virtual_environments: those below the root, whose
    files are audited like all others. duration_s: seconds. rule_titles: of all rules, by code.
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

    exclude: globs of files and folders to leave out. fleet: the fleet file to compare with. cache_dir: None
    to cache nothing. processes: default is one for each core. on_progress: called with the number of files
    analyzed and the total.

    Raises InputError: the fleet file cannot be read, or a value in it has the wrong type.
    """
    with pause_gc():  # the many small objects of a cache hold no garbage
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
    previous = tree_cache.load("audit-result", CachedAudit)
    if previous is None or previous.key != key:
        previous = None
        from argosy.refit.audit.analysis_run import build_rule_catalog  # noqa: PLC0415

        catalog = build_rule_catalog(has_fleet=fleet is not None)
    else:
        catalog = previous.catalog
    scanned_at_ns = time.time_ns()
    snapshot = scan_tree(root, catalog.file_patterns, exclude)
    if previous is not None and previous.is_valid(root, snapshot):
        result, files_analyzed = previous.result, 0
    else:
        # Loading the rules and their dependencies takes longer than scanning an unchanged tree.
        from argosy.refit.audit.analysis_run import AnalysisRun  # noqa: PLC0415
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
        # Each file is only valid with the other: the process may end between the two writes.
        pairing_id = os.urandom(8)
        run.save(pairing_id)
        racy_files = find_racy_files(snapshot, scanned_at_ns)
        cached = CachedAudit(key, pairing_id, catalog, snapshot, racy_files, run.path_checks, result)
        tree_cache.store("audit-result", cached)
    return AuditReport(
        root=root,
        result=result,
        sizes={path: file_stat.size for path, file_stat in snapshot.file_stats.items()},
        files_analyzed=files_analyzed,
        unreadable=snapshot.unreadable,
        virtual_environments=snapshot.virtual_environments,
        duration_s=time.perf_counter() - started,
        rule_titles=catalog.titles,
    )


def _fleet_fingerprint(fleet: str | None) -> tuple[bytes, ...]:
    """Return bytes that identify a fleet file's content; an unreadable file is reported when it is loaded."""
    if fleet is None:
        return ()
    data = read_source_bytes(fleet)
    return (os.fsencode(fleet), data if isinstance(data, bytes) else b"")
