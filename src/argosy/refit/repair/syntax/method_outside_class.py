"""Repairs a method outside every class: indented, after a module's own statements.

Nothing could ever call it as a method. It is removed if it does nothing; otherwise it moves to column 0 and
becomes a function, so that no code is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, line_start, whole_lines_span

NAME = "method-outside-class"
_NO_EFFECT_KEYWORDS = frozenset({"pass", "try", "except", "raise", "finally"})


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.UNEXPECTED_INDENT:
        return
    statements, at = broken.statements, structure_break.index
    header = statements[at]
    if header.keyword != "def" or not header.is_block_header or at == 0 or statements[at - 1].indent > 0:
        return
    stop = at + 1
    while stop < len(statements) and statements[stop].indent > header.indent:
        stop += 1
    name = header.tokens[1].text
    if _does_nothing(statements[at + 1 : stop]):
        start, end = whole_lines_span(broken.text, statements[at:stop])
        description = f"`{name}` does nothing and is in no class: removed"
        yield RepairCandidate(NAME, header.line, (SpanEdit(start, end, ""),), description)
    else:
        edits = tuple(_dedent_edits(broken, statements[at:stop], header.leading_space))
        yield RepairCandidate(
            NAME, header.line, edits, f"`{name}` is in no class: it becomes a function of the module", 1
        )


def _does_nothing(body: Sequence[SourceStatement]) -> bool:
    """Return whether a body only passes, reports impossible errors, and raises."""
    return all(
        statement.keyword in _NO_EFFECT_KEYWORDS
        or statement.first_token.kind == "string"
        or statement.first_token.text in ("logger", "logging", "print")
        for statement in body
    ) and any(statement.keyword == "pass" for statement in body)


def _dedent_edits(
    broken: BrokenSource, statements: Sequence[SourceStatement], indentation: str
) -> Iterator[SpanEdit]:
    for statement in statements:
        start = line_start(broken.text, statement.first_token.start)
        if statement.leading_space.startswith(indentation):
            yield SpanEdit(start, start + len(indentation), "")
