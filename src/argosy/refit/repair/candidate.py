"""One possible step of a repair, and the form that rules have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from argosy.refit.repair.broken import Broken
from argosy.refit.repair.edit import Edit


class Candidate(msgspec.Struct, frozen=True):
    """A step that a rule proposes: what is changed, and what to tell of it.

    said: what is done, as a person would say it. doubt: 0 for what the text itself proves, more for
    each reason to think that it was meant otherwise. choices: how many ways the rule saw.
    """

    rule: str
    line: int
    edits: tuple[Edit, ...]
    said: str
    doubt: int = 0
    choices: int = 1


class Rule(Protocol):
    """A kind of damage and its cure. It proposes; only the parser and the gates judge."""

    def __call__(self, broken: Broken) -> Iterator[Candidate]:
        """Yield the ways to mend the first break, the likeliest first; none for another damage."""
