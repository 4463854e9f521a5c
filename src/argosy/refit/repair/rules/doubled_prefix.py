"""A text whose prefix was written twice, `ff"..."`: once is enough."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit

NAME = "doubled-prefix"


def propose(broken: Broken) -> Iterator[Candidate]:
    at = broken.statement_at(broken.complaint.line)
    if at is None or broken.fracture is not None:
        return
    for name, text in pairwise(broken.statements[at].tokens):
        is_double = len(name.text) == 2 and name.text[0] == name.text[1] and name.text[0] in "fFrRbB"
        if is_double and text.kind == "string" and name.end == text.start and text.text[0] in "'\"":
            said = f"the prefix `{name.text}` of a text is `{name.text[0]}`"
            yield Candidate(NAME, name.line, (Edit(name.start, name.start + 1, ""),), said)
