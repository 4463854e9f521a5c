"""Resolves names in a loop: takes the first proposal that leaves fewer unresolved, until none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution import (
    add_import,
    duplicate_body,
    invalid_super_call,
    missing_binding,
    missing_logger,
    move_import_up,
    split_prefix,
    typo_name,
)
from argosy.refit.repair.name_resolution.module_view import ModuleView, compile_view
from argosy.refit.repair.name_resolution.project_names import ProjectNames
from argosy.refit.repair.reencoded_source import with_text
from argosy.refit.repair.span_edit import apply_edits

RULES: Final[tuple[Callable[[ModuleView, ProjectNames], Iterator[RepairCandidate]], ...]] = (
    invalid_super_call.propose,
    move_import_up.propose,
    split_prefix.propose,
    typo_name.propose,
    missing_logger.propose,
    missing_binding.propose,
    add_import.propose,
    duplicate_body.propose,
)
_MAX_STEPS = 60


def resolve_names(
    view: ModuleView, project_names: ProjectNames
) -> tuple[ModuleView, tuple[tuple[RepairCandidate, str], ...]]:
    """Return the view after all steps, and each step with the text before it."""
    steps: list[tuple[RepairCandidate, str]] = []
    while view.unresolved and len(steps) < _MAX_STEPS:
        improvement = next(_find_improvements(view, project_names), None)
        if improvement is None:
            break
        candidate, better = improvement
        steps.append((candidate, view.text))
        view = better
    return view, tuple(steps)


def _find_improvements(
    view: ModuleView, project_names: ProjectNames
) -> Iterator[tuple[RepairCandidate, ModuleView]]:
    names = {item.name for item in view.unresolved}
    for rule in RULES:
        for candidate in rule(view, project_names):
            other = with_text(view.source, apply_edits(view.text, candidate.edits))
            after = compile_view(other) if other is not None else None
            if after is not None and {item.name for item in after.unresolved} < names:
                yield candidate, after
