"""One possible step of a repair, and the form that rules have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.span_edit import SpanEdit


class RepairCandidate(msgspec.Struct, frozen=True):
    """A step that a rule proposes: what is changed, and what to tell of it.

    said: what is done, as a person would say it. doubt: 0 for what the text itself proves, more for
    each reason to think that it was meant otherwise. choices: how many ways the rule saw.
    """

    rule: str
    line: int
    edits: tuple[SpanEdit, ...]
    description: str
    penalty: int = 0
    alternatives: int = 1


class SyntaxRule(Protocol):
    """A kind of damage and its cure. It proposes; only the parser and the gates judge."""

    def __call__(self, broken: BrokenSource) -> Iterator[RepairCandidate]:
        """Yield the ways to mend the first break, the likeliest first; none for another damage."""
