"""Whole statements between the brackets of another: they move above it."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.island import is_injectable
from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, line_start, lines_of

NAME = "inside-brackets"
_MOST = 6


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind is not Break.UNCLOSED:
        return
    statements, at = broken.statements, fracture.at
    stop = at + 1
    while stop < len(statements) and stop - at <= _MOST and is_injectable(statements[stop]):
        if statements[stop].indent > statements[at].indent:
            break
        stop += 1
    if stop == at + 1 or stop == len(statements):
        return
    start, end = lines_of(broken.text, statements[at + 1 : stop])
    target = line_start(broken.text, statements[at].first.start)
    edits = (Edit(target, target, broken.text[start:end]), Edit(start, end, ""))
    said = f"{stop - at - 1} statement{'s' * (stop - at > 2)} inside the brackets of another move above it"
    yield Candidate(NAME, statements[at + 1].line, edits, said)
