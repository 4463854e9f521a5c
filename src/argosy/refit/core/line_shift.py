"""Facts that have moved: what stood on one line stands on another, and all else is as it was.

A line that is put in at the top of a file moves all facts of it. What rules said of several files still holds
then, in other places: it is moved along, and no rule is asked. Facts tell a place by `line` and `column`, and
findings by theirs; in a message the place of another file is written `path:line`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

import msgspec

from argosy.refit.core.finding import Finding

LineMap = Mapping[int, int]


def find_line_shift(old: object, new: object) -> LineMap | None:
    """Return the line that each line of a fact has become, None where more has changed than lines.

    old, new: two facts of one kind. What stood above something must do so still.
    """
    lines: dict[int, int] = {}
    return lines if _is_shifted(old, new, lines) and _is_in_order(lines) else None


def _is_shifted(old: object, new: object, lines: dict[int, int]) -> bool:
    """Compare two values, and take down the lines of them."""
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
    """What has moved in a tree since the audit before, by file and by kind of facts."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, LineMap]] = {}

    def add(self, path: str, kind: str, lines: LineMap) -> None:
        """Take down that the facts of one kind of a file have moved."""
        self._lines.setdefault(path, {})[kind] = lines

    def has_shifted(self, kinds: Iterable[str]) -> bool:
        """Return whether facts of one of these kinds have moved."""
        kind_names = set(kinds)
        return any(not kind_names.isdisjoint(moved) for moved in self._lines.values())

    def merged_lines(self, kinds: Iterable[str]) -> Mapping[str, LineMap] | None:
        """Return by file what has become of the lines of some kinds, None where they went two ways."""
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
    """Return findings where they are now, None for a place of which that is not known.

    lines: by file, what has become of each. A finding that stands where it stood is the same object.
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
