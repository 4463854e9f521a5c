"""A candidate for one repair step, and the protocol of rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.span_edit import SpanEdit


class RepairCandidate(msgspec.Struct, frozen=True):
    """One step that a rule proposes.

    line: where it applies. edits: the changes of the text. description: what the step does, for people.
    penalty: 0 if the text proves the step, more for each reason to doubt it. alternatives: how many ways the
    rule found.
    """

    rule: str
    line: int
    edits: tuple[SpanEdit, ...]
    description: str
    penalty: int = 0
    alternatives: int = 1


class SyntaxRule(Protocol):
    """A kind of damage and its repair. A rule only proposes; the parser and the checks decide."""

    def __call__(self, broken: BrokenSource) -> Iterator[RepairCandidate]:
        """Yield the ways to repair the first break, the likeliest first; nothing for other damage."""
