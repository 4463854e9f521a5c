"""A class with two lists of bases: the first was put in front of the class's own, and goes.

Which of the two its author wrote is not in the text, so this is always told as a choice.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit

NAME = "second-bases"


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind is not Break.SECOND_BASES:
        return
    tokens = broken.statements[fracture.at].tokens
    first = next(token for token in tokens if token.text == "(")
    taken = broken.text[first.start : fracture.token.start]
    edit = Edit(first.start, fracture.token.start, "")
    yield Candidate(NAME, first.line, (edit,), f"the first list of bases, `{taken}`, is taken out", 1, 2)
