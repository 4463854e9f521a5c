"""The ratchet: no metric may get worse than its best, and resolved findings may not come back.

A measured value is compared with the best in the ledger, within tolerance and noise. Findings are compared by
file, symbol and code: `LEDGER/known/METRIC.json` lists the known ones; resolved findings are removed from it,
and new ones are never added.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from argosy.refit.core.baseline import (
    BaselineEntry,
    build_entries,
    compare_to_baseline,
    load_baseline,
    remove_resolved,
    write_baseline,
)
from argosy.refit.core.finding import Finding
from argosy.track.metric_status import ObjectiveStatus
from argosy.track.track_spec import Metric, Track


class Regression(msgspec.Struct, frozen=True):
    """A metric that got worse or has no value any more. findings: the new ones."""

    metric: str
    because: str
    findings: tuple[Finding, ...] = ()


def find_regressions(objective_statuses: Sequence[ObjectiveStatus]) -> list[Regression]:
    """Return the metrics that got worse, and those without a value that had one before."""
    found = []
    for objective_status in objective_statuses:
        for metric_status in objective_status.metric_statuses:
            is_lost = metric_status.status == "unknown" and metric_status.history
            if metric_status.status == "regressed" or is_lost:
                found.append(Regression(metric_status.metric.name, metric_status.because))
    return found


def known_findings_path(track: Track, metric: Metric) -> Path:
    """Return the path of a metric's known findings."""
    return Path(track.ledger, "known", f"{metric.name}.json")


def split_findings(
    track: Track, metric: Metric, findings: Sequence[Finding]
) -> tuple[list[Finding], list[BaselineEntry]]:
    """Return the new findings, and the known ones that are resolved.

    Without a list of known findings none is new.
    Raises InputError: the list is damaged.
    """
    path = known_findings_path(track, metric)
    if not path.exists():
        return [], []
    comparison = compare_to_baseline(findings, load_baseline(path))
    return list(comparison.new), list(comparison.resolved)


def tighten_known_findings(track: Track, metric: Metric, findings: Sequence[Finding]) -> int:
    """Remove resolved findings from the known ones, or create the list; return how many were removed.

    Raises InputError: the list is damaged, or cannot be written.
    """
    path = known_findings_path(track, metric)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_baseline(path, build_entries(findings))
        return 0
    entries = load_baseline(path)
    fixed = compare_to_baseline(findings, entries).resolved
    if fixed:
        write_baseline(path, remove_resolved(entries, fixed))
    return sum(entry.count for entry in fixed)


def accept_findings(track: Track, metric: Metric, findings: Sequence[Finding]) -> None:
    """Write all findings as known, when a person has accepted them."""
    path = known_findings_path(track, metric)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_baseline(path, build_entries(findings))
