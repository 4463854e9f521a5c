"""The loop that mends names: the first proposal that leaves fewer unresolved is taken, until none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import apply_edits
from argosy.refit.repair.names import (
    bring,
    hoist,
    lost_binding,
    lost_logger,
    repeated_body,
    torn_prefix,
    torn_word,
    unfit_super,
)
from argosy.refit.repair.names.shown import Shown
from argosy.refit.repair.names.view import View, view_of
from argosy.refit.repair.text import with_text

RULES: Final[tuple[Callable[[View, Shown], Iterator[Candidate]], ...]] = (
    unfit_super.propose,
    hoist.propose,
    torn_prefix.propose,
    torn_word.propose,
    lost_logger.propose,
    lost_binding.propose,
    bring.propose,
    repeated_body.propose,
)
_MOST = 60


def mend_names(view: View, shown: Shown) -> tuple[View, tuple[tuple[Candidate, str], ...]]:
    """Return the view with as many names resolved as the rules can, and each step with the text before it."""
    steps: list[tuple[Candidate, str]] = []
    while view.unresolved and len(steps) < _MOST:
        following = next(_better(view, shown), None)
        if following is None:
            break
        candidate, better = following
        steps.append((candidate, view.text))
        view = better
    return view, tuple(steps)


def _better(view: View, shown: Shown) -> Iterator[tuple[Candidate, View]]:
    names = {item.name for item in view.unresolved}
    for rule in RULES:
        for candidate in rule(view, shown):
            other = with_text(view.source, apply_edits(view.text, candidate.edits))
            after = view_of(other) if other is not None else None
            if after is not None and {item.name for item in after.unresolved} < names:
                yield candidate, after
