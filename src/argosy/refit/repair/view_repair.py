"""Repairs a file that parses in a loop; checks each proposal against the compiler and the names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from argosy.refit.repair.module_view import ModuleView, compile_view
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.registry import NAME_RULES, STARTUP_RULES
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule
from argosy.refit.repair.startup.missing_package import MISSING_PACKAGE
from argosy.refit.transaction.text_edit import edit_text

_MAX_STEPS = 60
# The view after all steps, and each step with the text before it.
RepairedView = tuple[ModuleView, tuple[tuple[RepairCandidate, str], ...]]


def may_need_repair(view: ModuleView, missing_packages: Collection[str]) -> bool:
    """Return whether a start-up rule may apply to a file; a quick check of the file alone.

    missing_packages: the packages that are declared missing.
    """
    return any(rule.may_apply(view) for rule in STARTUP_RULES if rule is not MISSING_PACKAGE) or any(
        package in view.text for package in missing_packages
    )


def resolve_names(view: ModuleView, context: ProjectContext) -> RepairedView:
    """Repair until no proposal leaves fewer names unresolved."""
    return _repair(view, context, NAME_RULES, resolves_names=True)


def fix_startup(view: ModuleView, context: ProjectContext) -> RepairedView:
    """Repair what ends the start, as long as no more names are unresolved and no text comes again."""
    return _repair(view, context, STARTUP_RULES, resolves_names=False)


def _repair(
    view: ModuleView, context: ProjectContext, rules: Sequence[RepairRule], *, resolves_names: bool
) -> RepairedView:
    steps: list[tuple[RepairCandidate, str]] = []
    seen = {view.text}
    while len(steps) < _MAX_STEPS and (view.unresolved or not resolves_names):
        names = {item.name for item in view.unresolved}
        for candidate, after in _find_successors(view, context, rules, seen):
            left = {item.name for item in after.unresolved}
            if left < names or (left == names and not resolves_names):
                steps.append((candidate, view.text))
                seen.add(after.text)
                view = after
                break
        else:
            break
    return view, tuple(steps)


def _find_successors(
    view: ModuleView, context: ProjectContext, rules: Sequence[RepairRule], seen: set[str]
) -> Iterator[tuple[RepairCandidate, ModuleView]]:
    """Yield each candidate whose result compiles and is new, with the result."""
    for rule in rules:
        for candidate in rule.propose(view, context) if rule.may_apply(view) else ():
            text = edit_text(view.text, candidate.edits)
            other = view.source.with_text(text) if text not in seen else None
            after = compile_view(other) if other is not None else None
            if after is not None:
                yield candidate, after
