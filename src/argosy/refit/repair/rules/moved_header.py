"""The header of a function at column 0, its body still where it was: the header goes back.

Its column is that of the next method, which begins where no block does because of it; or that of its
decorator; or one step left of its body, where the header above it has nothing below it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.damage import moved_header
from argosy.refit.island import step_of
from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import set_margin
from argosy.refit.statements import Statement

NAME = "moved-header"


def propose(broken: Broken) -> Iterator[Candidate]:
    found = _by_next_method(broken) or _by_decorator(broken) or _by_body(broken)
    if found is None:
        return
    header, margin = found
    name = header.tokens[2 if header.first.text == "async" else 1].text
    said = f"the header of `{name}` goes back to the column of its body's block"
    yield Candidate(NAME, header.line, (set_margin(header, margin),), said)


def _by_next_method(broken: Broken) -> tuple[Statement, str] | None:
    fracture = broken.fracture
    at = moved_header(broken.statements, fracture) if fracture is not None else None
    if fracture is None or at is None:
        return None
    following = broken.statements[fracture.at]
    is_deeper = broken.statements[at + 1].indent > following.indent
    return (broken.statements[at], following.margin) if is_deeper else None


def _by_decorator(broken: Broken) -> tuple[Statement, str] | None:
    at = broken.statement_at(broken.line)
    if not at:
        return None
    decorator, header = broken.statements[at - 1 : at + 1]
    is_lost = (
        decorator.first.text == "@" and header.word in ("def", "class") and header.indent < decorator.indent
    )
    return (header, decorator.margin) if is_lost else None


def _by_body(broken: Broken) -> tuple[Statement, str] | None:
    fracture = broken.fracture
    if fracture is None or fracture.kind is not Break.EMPTY or fracture.at + 1 >= len(broken.statements):
        return None
    outer, header, body = broken.statements[fracture.at - 1 : fracture.at + 2]
    step = step_of(broken.statements)
    is_lost = (
        header.word == "def" and header.indent <= outer.indent and body.indent == outer.indent + 2 * step
    )
    margin = body.margin[: len(body.margin) - step]
    return (header, margin) if is_lost and body.margin == margin + " " * step else None
