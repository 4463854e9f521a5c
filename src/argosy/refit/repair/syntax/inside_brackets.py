"""Moves whole statements that are between the brackets of another above it."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.injected_block import is_injectable
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, line_start, whole_lines_span

NAME = "inside-brackets"
_MAX_STATEMENTS = 6


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.UNCLOSED_BRACKET:
        return
    statements, at = broken.statements, structure_break.index
    stop = at + 1
    while stop < len(statements) and stop - at <= _MAX_STATEMENTS and is_injectable(statements[stop]):
        if statements[stop].indent > statements[at].indent:
            break
        stop += 1
    if stop == at + 1 or stop == len(statements):
        return
    start, end = whole_lines_span(broken.text, statements[at + 1 : stop])
    target = line_start(broken.text, statements[at].first_token.start)
    edits = (SpanEdit(target, target, broken.text[start:end]), SpanEdit(start, end, ""))
    description = (
        f"{stop - at - 1} statement{'s' * (stop - at > 2)} inside the brackets of another move above it"
    )
    yield RepairCandidate(NAME, statements[at + 1].line, edits, description)
