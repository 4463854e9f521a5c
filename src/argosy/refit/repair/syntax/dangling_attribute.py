"""Removes a statement that ends with a dot: `self.`, left when a pattern removed an attribute and its call.

What it did is lost. The rest of it does nothing and is removed too; if it was alone in its block, `pass`
replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, whole_lines_span

NAME = "dangling-attribute"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    at = broken.statement_index(broken.first_problem.line)
    if at is None or broken.structure_break is not None:
        return
    statement = broken.statements[at]
    *names, last = statement.tokens
    if last.text != "." or not all(token.kind == "name" or token.text == "." for token in names) or not names:
        return
    before = broken.statements[at - 1] if at else None
    after = broken.statements[at + 1] if at + 1 < len(broken.statements) else None
    is_alone = (
        before is not None and before.is_block_header and (after is None or after.indent < statement.indent)
    )
    if is_alone:
        edit = SpanEdit(statement.first_token.start, last.end, "pass")
    else:
        start, stop = whole_lines_span(broken.text, (statement,))
        edit = SpanEdit(start, stop, "")
    remainder = broken.text[statement.first_token.start : last.end]
    description = f"`{remainder}` has lost its attribute and does nothing: removed"
    yield RepairCandidate(NAME, statement.line, (edit,), description, 1)
