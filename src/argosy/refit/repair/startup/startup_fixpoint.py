"""Repairs start-up failures in a loop; checks each proposal against the compiler and the names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView, compile_view
from argosy.refit.repair.reencoded_source import with_text
from argosy.refit.repair.span_edit import apply_edits
from argosy.refit.repair.startup import (
    base_order,
    double_decode,
    duplicate_thread,
    log_folder,
    main_block_last,
    missing_package,
    none_for_default,
    placeholder_fallback,
    port_in_set,
    rejected_sys_path,
    self_import,
    shadowed_package,
    str_as_path,
)
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupRule

RULES: Final[dict[str, StartupRule]] = {
    module.RULE.name: module.RULE
    for module in (
        self_import,
        shadowed_package,
        rejected_sys_path,
        base_order,
        str_as_path,
        placeholder_fallback,
        port_in_set,
        double_decode,
        duplicate_thread,
        main_block_last,
        none_for_default,
        log_folder,
        missing_package,
    )
}
_MAX_STEPS = 60


def may_need_repair(view: ModuleView, missing_packages: Collection[str]) -> bool:
    """Return whether a rule may apply to a file; a quick check of the file alone.

    missing_packages: the packages that are declared missing.
    """
    return any(rule.may_apply(view) for rule in RULES.values() if rule is not missing_package.RULE) or any(
        package in view.text for package in missing_packages
    )


def fix_startup(
    view: ModuleView, context: ProjectContext
) -> tuple[ModuleView, tuple[tuple[RepairCandidate, str], ...]]:
    """Return the view after all steps, and each step with the text before it."""
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


def _find_improvements(
    view: ModuleView, context: ProjectContext, seen: set[str]
) -> Iterator[tuple[RepairCandidate, ModuleView]]:
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
