"""The ratchet: nothing may get worse than its best, and what is mended stays mended.

Of a measured value the best in the ledger counts, less the tolerance and the noise. Of findings each one
counts, by file, symbol and code: `LEDGER/known/METRIC.json` lists those that are put up with; it loses what
is mended and gains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from argosy.refit.baseline import Entry, load_baseline, make_entries, shrunk, sift, write_baseline
from argosy.refit.finding import Finding
from argosy.track.spec import Metric, Track
from argosy.track.verdict import Outlook


class Worse(msgspec.Struct, frozen=True):
    """A metric that got worse, or that cannot be told any more. findings: those that are new."""

    metric: str
    because: str
    findings: tuple[Finding, ...] = ()


def find_worse(outlooks: Sequence[Outlook]) -> list[Worse]:
    """Return the metrics whose value is worse than it was, or is not known while it once was."""
    found = []
    for outlook in outlooks:
        for standing in outlook.standings:
            is_lost = standing.status == "unknown" and standing.history
            if standing.status == "regressed" or is_lost:
                found.append(Worse(standing.metric.name, standing.because))
    return found


def known_path(track: Track, metric: Metric) -> Path:
    """Return where the findings of a metric are listed that are put up with."""
    return Path(track.ledger, "known", f"{metric.name}.json")


def sift_findings(
    track: Track, metric: Metric, findings: Sequence[Finding]
) -> tuple[list[Finding], list[Entry]]:
    """Return the findings that are not known yet, and the known ones that are gone.

    Without a list nothing is new: the first one is yet to be made.
    Raises InputError: the list is damaged.
    """
    path = known_path(track, metric)
    if not path.exists():
        return [], []
    sifted = sift(findings, load_baseline(path))
    return list(sifted.new), list(sifted.gone)


def tighten(track: Track, metric: Metric, findings: Sequence[Finding]) -> int:
    """Take what is mended out of the list of known findings, or begin the list; return how many went.

    Raises InputError: the list is damaged, or cannot be written.
    """
    path = known_path(track, metric)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_baseline(path, make_entries(findings))
        return 0
    entries = load_baseline(path)
    gone = sift(findings, entries).gone
    if gone:
        write_baseline(path, shrunk(entries, gone))
    return sum(entry.count for entry in gone)


def accept_findings(track: Track, metric: Metric, findings: Sequence[Finding]) -> None:
    """List all of these findings as known: somebody has accepted them."""
    path = known_path(track, metric)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_baseline(path, make_entries(findings))
