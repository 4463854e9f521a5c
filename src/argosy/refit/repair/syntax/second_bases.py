"""Removes the first of two base lists of a class, which was inserted before the class's own.

The text does not show which of the two its author wrote, so there are always two alternatives.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit

NAME = "second-bases"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.SECOND_BASES:
        return
    tokens = broken.statements[structure_break.index].tokens
    first = next(token for token in tokens if token.text == "(")
    removed = broken.text[first.start : structure_break.token.start]
    edit = SpanEdit(first.start, structure_break.token.start, "")
    yield RepairCandidate(
        NAME, first.line, (edit,), f"the first list of bases, `{removed}`, is removed", 1, 2
    )
