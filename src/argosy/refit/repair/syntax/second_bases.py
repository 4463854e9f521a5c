"""A class with two lists of bases: the first was put in front of the class's own, and goes.

Which of the two its author wrote is not in the text, so this is always told as a choice.
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
        NAME, first.line, (edit,), f"the first list of bases, `{removed}`, is taken out", 1, 2
    )
