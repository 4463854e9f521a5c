"""The loop that mends names: the first proposal that leaves fewer unresolved is taken, until none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from argosy.refit.repair.candidate import RepairCandidate
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
from argosy.refit.repair.names.shown import ProjectNames
from argosy.refit.repair.names.view import ModuleView, compile_view
from argosy.refit.repair.text import with_text

RULES: Final[tuple[Callable[[ModuleView, ProjectNames], Iterator[RepairCandidate]], ...]] = (
    unfit_super.propose,
    hoist.propose,
    torn_prefix.propose,
    torn_word.propose,
    lost_logger.propose,
    lost_binding.propose,
    bring.propose,
    repeated_body.propose,
)
_MAX_STEPS = 60


def resolve_names(view: ModuleView, project_names: ProjectNames) -> tuple[ModuleView, tuple[tuple[RepairCandidate, str], ...]]:
    """Return the view with as many names resolved as the rules can, and each step with the text before it."""
    steps: list[tuple[RepairCandidate, str]] = []
    while view.unresolved and len(steps) < _MAX_STEPS:
        improvement = next(_find_improvements(view, project_names), None)
        if improvement is None:
            break
        candidate, better = improvement
        steps.append((candidate, view.text))
        view = better
    return view, tuple(steps)


def _find_improvements(view: ModuleView, project_names: ProjectNames) -> Iterator[tuple[RepairCandidate, ModuleView]]:
    names = {item.name for item in view.unresolved}
    for rule in RULES:
        for candidate in rule(view, project_names):
            other = with_text(view.source, apply_edits(view.text, candidate.edits))
            after = compile_view(other) if other is not None else None
            if after is not None and {item.name for item in after.unresolved} < names:
                yield candidate, after
