"""Baselines: files of known findings that are accepted for now. A baseline only shrinks.

An entry has a path, a code, a symbol and a count, and no line, so that it stays valid while the code around
it changes. Existing findings are written to it once, when a team starts to use the audit; a finding that is
fixed is removed for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from argosy.atomic_file import write_atomic
from argosy.fault import Fault, InputError
from argosy.refit.core.finding import Finding

FindingKey = tuple[str, str, str]


class BaselineEntry(msgspec.Struct, frozen=True, order=True):
    """`count` known findings at one symbol of one file."""

    path: str
    code: str
    symbol: str
    count: int = 1


class _BaselineFile(msgspec.Struct, frozen=True):
    argosy: Literal["baseline/1"]
    findings: tuple[BaselineEntry, ...]


class BaselineComparison(msgspec.Struct, frozen=True):
    """Findings compared with a baseline. resolved: entries with fewer findings than their count."""

    new: tuple[Finding, ...]
    known_count: int
    resolved: tuple[BaselineEntry, ...]


def load_baseline(path: Path) -> tuple[BaselineEntry, ...]:
    """Return the entries of a baseline file.

    Raises InputError: it cannot be read, or is not a baseline.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=_BaselineFile).findings
    except OSError as error:
        hint = f"`--baseline {path} --write-baseline` writes one"
        raise InputError(
            Fault(str(path), "no-baseline", f"the baseline cannot be read: {error.strerror}", hint)
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"not a baseline of `argosy audit`: {error}"
        raise InputError(
            Fault(str(path), "invalid-baseline", message, 'expected `"argosy": "baseline/1"`')
        ) from None


def compare_to_baseline(findings: Iterable[Finding], entries: Sequence[BaselineEntry]) -> BaselineComparison:
    """Return the findings that a baseline does not cover; of several at one symbol the last are new."""
    remaining = Counter[FindingKey]()
    for entry in entries:
        remaining[entry.path, entry.code, entry.symbol] += entry.count
    new: list[Finding] = []
    known_count = 0
    for item in findings:
        key = (item.path, item.code, item.symbol)
        if remaining[key] > 0:
            remaining[key] -= 1
            known_count += 1
        else:
            new.append(item)
    resolved = tuple(sorted(BaselineEntry(*key, count) for key, count in remaining.items() if count > 0))
    return BaselineComparison(tuple(new), known_count, resolved)


def build_entries(findings: Iterable[Finding]) -> tuple[BaselineEntry, ...]:
    """Return the entries that cover all of `findings`."""
    counts = Counter((item.path, item.code, item.symbol) for item in findings)
    return tuple(sorted(BaselineEntry(*key, count) for key, count in counts.items()))


def remove_resolved(
    entries: Sequence[BaselineEntry], resolved: Sequence[BaselineEntry]
) -> tuple[BaselineEntry, ...]:
    """Return a baseline without its resolved entries."""
    resolved_counts = {(entry.path, entry.code, entry.symbol): entry.count for entry in resolved}
    remaining = (
        (entry, entry.count - resolved_counts.get((entry.path, entry.code, entry.symbol), 0))
        for entry in entries
    )
    return tuple(msgspec.structs.replace(entry, count=count) for entry, count in remaining if count > 0)


def write_baseline(path: Path, entries: Sequence[BaselineEntry]) -> None:
    """Write a baseline: one entry a line, sorted, so that two branches merge.

    Raises InputError: the file cannot be written.
    """
    lines = ",\n".join("  " + msgspec.json.encode(entry).decode() for entry in entries)
    text = '{"argosy": "baseline/1", "findings": [\n' + lines + "\n]}\n"
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        message = f"the baseline cannot be written: {error.strerror}"
        raise InputError(Fault(str(path), "unwritable", message)) from None
