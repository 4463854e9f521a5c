"""The ratchet: nothing may get worse than its best, and what is mended stays mended.

Of a measured value the best in the ledger counts, less the tolerance and the noise. Of findings each one
counts, by file, symbol and code: `LEDGER/known/METRIC.json` lists those that are put up with; it loses what
is mended and gains nothing.
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
    """A metric that got worse, or that cannot be told any more. findings: those that are new."""

    metric: str
    because: str
    findings: tuple[Finding, ...] = ()


def find_regressions(objective_statuses: Sequence[ObjectiveStatus]) -> list[Regression]:
    """Return the metrics whose value is worse than it was, or is not known while it once was."""
    found = []
    for objective_status in objective_statuses:
        for metric_status in objective_status.metric_statuses:
            is_lost = metric_status.status == "unknown" and metric_status.history
            if metric_status.status == "regressed" or is_lost:
                found.append(Regression(metric_status.metric.name, metric_status.because))
    return found


def known_findings_path(track: Track, metric: Metric) -> Path:
    """Return where the findings of a metric are listed that are put up with."""
    return Path(track.ledger, "known", f"{metric.name}.json")


def split_findings(
    track: Track, metric: Metric, findings: Sequence[Finding]
) -> tuple[list[Finding], list[BaselineEntry]]:
    """Return the findings that are not known yet, and the known ones that are gone.

    Without a list nothing is new: the first one is yet to be made.
    Raises InputError: the list is damaged.
    """
    path = known_findings_path(track, metric)
    if not path.exists():
        return [], []
    sifted = compare_to_baseline(findings, load_baseline(path))
    return list(sifted.new), list(sifted.resolved)


def tighten_known_findings(track: Track, metric: Metric, findings: Sequence[Finding]) -> int:
    """Take what is mended out of the list of known findings, or begin the list; return how many went.

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
    """List all of these findings as known: somebody has accepted them."""
    path = known_findings_path(track, metric)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_baseline(path, build_entries(findings))
