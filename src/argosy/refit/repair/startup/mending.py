"""The loop that mends what ends a start: each proposal is held against the compiler and the names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.edit import apply_edits
from argosy.refit.repair.names.view import ModuleView, compile_view
from argosy.refit.repair.startup import (
    absent_package,
    base_order,
    hidden_package,
    log_folder,
    main_block_last,
    none_for_default,
    own_import,
    path_value,
    placeholder,
    port_set,
    refused_path,
    second_decode,
    second_start,
)
from argosy.refit.repair.startup.around import ProjectContext
from argosy.refit.repair.startup.rule import StartupRule
from argosy.refit.repair.text import with_text

RULES: Final[dict[str, StartupRule]] = {
    module.RULE.name: module.RULE
    for module in (
        own_import,
        hidden_package,
        refused_path,
        base_order,
        path_value,
        placeholder,
        port_set,
        second_decode,
        second_start,
        main_block_last,
        none_for_default,
        log_folder,
        absent_package,
    )
}
_MAX_STEPS = 60


def may_need_repair(view: ModuleView, missing_packages: Collection[str]) -> bool:
    """Return whether a rule may have something for a file; cheap, by the file alone.

    absent: the packages that are told to be absent.
    """
    return any(rule.may_apply(view) for rule in RULES.values() if rule is not absent_package.RULE) or any(
        package in view.text for package in missing_packages
    )


def fix_startup(view: ModuleView, context: ProjectContext) -> tuple[ModuleView, tuple[tuple[RepairCandidate, str], ...]]:
    """Return the view with what the rules mend, and each step with the text before it."""
    steps: list[tuple[RepairCandidate, str]] = []
    seen = {view.text}
    while len(steps) < _MAX_STEPS:
        improvement = next(_find_improvements(view, context, seen), None)
        if improvement is None:
            break
        candidate, better = improvement
        steps.append((candidate, view.text))
        seen.add(better.text)
        view = better
    return view, tuple(steps)


def _find_improvements(view: ModuleView, context: ProjectContext, seen: set[str]) -> Iterator[tuple[RepairCandidate, ModuleView]]:
    names = {item.name for item in view.unresolved}
    for rule in RULES.values():
        if not rule.may_apply(view):
            continue
        for candidate in rule.propose(view, context):
            text = apply_edits(view.text, candidate.edits)
            other = with_text(view.source, text) if text not in seen else None
            after = compile_view(other) if other is not None else None
            if after is not None and {item.name for item in after.unresolved} <= names:
                yield candidate, after
