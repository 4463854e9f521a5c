"""A method that stands where no class is: after a module's own statements, indented.

Nothing could ever call it as a method. It is taken out when it does nothing; a method that does
something goes to column 0 and is a function, so that nothing of it is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, line_start, lines_of
from argosy.refit.statements import Statement

NAME = "stranded-method"
_IDLE = frozenset({"pass", "try", "except", "raise", "finally"})


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind is not Break.DEEPER:
        return
    statements, at = broken.statements, fracture.at
    header = statements[at]
    if header.word != "def" or not header.is_opener or at == 0 or statements[at - 1].indent > 0:
        return
    stop = at + 1
    while stop < len(statements) and statements[stop].indent > header.indent:
        stop += 1
    name = header.tokens[1].text
    if _is_idle(statements[at + 1 : stop]):
        start, end = lines_of(broken.text, statements[at:stop])
        said = f"`{name}` does nothing and is in no class: it is taken out"
        yield Candidate(NAME, header.line, (Edit(start, end, ""),), said)
    else:
        edits = tuple(_dedented(broken, statements[at:stop], header.margin))
        yield Candidate(
            NAME, header.line, edits, f"`{name}` is in no class: it is a function of the module", 1
        )


def _is_idle(body: Sequence[Statement]) -> bool:
    """Return whether a body only passes, tells of errors that cannot be, and raises."""
    return all(
        statement.word in _IDLE
        or statement.first.kind == "string"
        or statement.first.text in ("logger", "logging", "print")
        for statement in body
    ) and any(statement.word == "pass" for statement in body)


def _dedented(broken: Broken, statements: Sequence[Statement], margin: str) -> Iterator[Edit]:
    for statement in statements:
        start = line_start(broken.text, statement.first.start)
        if statement.margin.startswith(margin):
            yield Edit(start, start + len(margin), "")
