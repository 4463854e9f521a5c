"""Detects facts that differ only in line numbers, and updates findings accordingly.

A line inserted at the top of a file shifts all its facts. Findings of cross-file rules stay valid then: their
lines are updated, and no rule is evaluated. Facts have positions in `line` and `column`, as findings do; in a
message, a position in another file is written `path:line`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

import msgspec

from argosy.refit.core.finding import Finding

LineMap = Mapping[int, int]


def find_line_shift(old: object, new: object) -> LineMap | None:
    """Return the new line of each line in a fact, None if more than line numbers have changed.

    old, new: two facts of one kind. The order of the lines must be the same.
    """
    lines: dict[int, int] = {}
    return lines if _is_shifted(old, new, lines) and _is_in_order(lines) else None


def _is_shifted(old: object, new: object, lines: dict[int, int]) -> bool:
    """Compare two values, and add their line numbers to `lines`."""
    if type(old) is not type(new):
        return False
    if isinstance(old, msgspec.Struct):
        for name in old.__struct_fields__:
            before, after = getattr(old, name), getattr(new, name)
            if name == "line" or name.endswith("_line"):
                if lines.setdefault(before, after) != after:
                    return False
            elif not _is_shifted(before, after, lines):
                return False
        return True
    if isinstance(old, tuple):
        assert isinstance(new, tuple)
        return len(old) == len(new) and all(_is_shifted(*pair, lines) for pair in zip(old, new, strict=True))
    if isinstance(old, dict):
        assert isinstance(new, dict)
        return list(old) == list(new) and _is_shifted(tuple(old.values()), tuple(new.values()), lines)
    return old == new


def _is_in_order(lines: LineMap) -> bool:
    return all(before < after for before, after in pairwise(lines[line] for line in sorted(lines)))


class ShiftedFacts:
    """The line shifts of a tree since the previous audit, by file and by kind of facts."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, LineMap]] = {}

    def add(self, path: str, kind: str, lines: LineMap) -> None:
        """Record that the facts of one kind in a file have shifted."""
        self._lines.setdefault(path, {})[kind] = lines

    def has_shifted(self, kinds: Iterable[str]) -> bool:
        """Return whether facts of one of these kinds have shifted."""
        kind_names = set(kinds)
        return any(not kind_names.isdisjoint(moved) for moved in self._lines.values())

    def merged_lines(self, kinds: Iterable[str]) -> Mapping[str, LineMap] | None:
        """Return the line maps of some kinds by file, None where they contradict each other."""
        merged: dict[str, LineMap] = {}
        for path, lines_by_kind in self._lines.items():
            lines: dict[int, int] = {}
            for kind in kinds:
                for before, after in lines_by_kind.get(kind, {}).items():
                    if lines.setdefault(before, after) != after:
                        return None
            if not _is_in_order(lines):
                return None
            merged[path] = lines
        return merged


def shift_findings(findings: Iterable[Finding], lines: Mapping[str, LineMap]) -> list[Finding] | None:
    """Return the findings with their new lines, None if a line is not in the maps.

    lines: by file, the new line of each line. A finding that does not move is returned as the same object.
    """
    try:
        return [_shift_finding(item, lines) for item in findings]
    except KeyError:
        return None


def _shift_finding(item: Finding, lines_by_path: Mapping[str, LineMap]) -> Finding:
    line = lines_by_path[item.path][item.line] if item.path in lines_by_path else item.line
    message = item.message
    for path, lines in lines_by_path.items():
        if f"{path}:" in message:
            reference_pattern = re.compile(rf"(?<![\w./-])({re.escape(path)}:)(\d+)")
            message = reference_pattern.sub(
                lambda found, lines=lines: f"{found[1]}{lines[int(found[2])]}",  # type: ignore[misc]
                message,
            )
    if line == item.line and message == item.message:
        return item
    return msgspec.structs.replace(item, line=line, message=message)
