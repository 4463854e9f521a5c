"""Removes the second of two string prefixes, as in `ff"..."`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit

NAME = "doubled-prefix"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    at = broken.statement_index(broken.first_problem.line)
    if at is None or broken.structure_break is not None:
        return
    for name, text in pairwise(broken.statements[at].tokens):
        is_double = len(name.text) == 2 and name.text[0] == name.text[1] and name.text[0] in "fFrRbB"
        if is_double and text.kind == "string" and name.end == text.start and text.text[0] in "'\"":
            description = f"the prefix `{name.text}` of a string becomes `{name.text[0]}`"
            yield RepairCandidate(NAME, name.line, (SpanEdit(name.start, name.start + 1, ""),), description)
