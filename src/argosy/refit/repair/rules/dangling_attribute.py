"""A statement that ends with a dot: `self.`, left when a pattern took an attribute and its call away.

What it did is gone. The rest of it does nothing, and goes too; where it was alone in its block, `pass`
stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, lines_of

NAME = "dangling-attribute"


def propose(broken: Broken) -> Iterator[Candidate]:
    at = broken.statement_at(broken.complaint.line)
    if at is None or broken.fracture is not None:
        return
    statement = broken.statements[at]
    *names, last = statement.tokens
    if last.text != "." or not all(token.kind == "name" or token.text == "." for token in names) or not names:
        return
    before = broken.statements[at - 1] if at else None
    after = broken.statements[at + 1] if at + 1 < len(broken.statements) else None
    is_alone = before is not None and before.is_opener and (after is None or after.indent < statement.indent)
    if is_alone:
        edit = Edit(statement.first.start, last.end, "pass")
    else:
        start, stop = lines_of(broken.text, (statement,))
        edit = Edit(start, stop, "")
    left = broken.text[statement.first.start : last.end]
    said = f"`{left}` has lost its attribute and does nothing: it is taken out"
    yield Candidate(NAME, statement.line, (edit,), said, 1)
