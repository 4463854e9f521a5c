"""The loop that mends what ends a start: each proposal is held against the compiler and the names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import apply_edits
from argosy.refit.repair.names.view import View, view_of
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
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Rule
from argosy.refit.repair.text import with_text

RULES: Final[dict[str, Rule]] = {
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
_MOST = 60


def is_suspect(view: View, absent: Collection[str]) -> bool:
    """Return whether a rule may have something for a file; cheap, by the file alone.

    absent: the packages that are told to be absent.
    """
    return any(rule.may_apply(view) for rule in RULES.values() if rule is not absent_package.RULE) or any(
        package in view.text for package in absent
    )


def mend_startup(view: View, around: Around) -> tuple[View, tuple[tuple[Candidate, str], ...]]:
    """Return the view with what the rules mend, and each step with the text before it."""
    steps: list[tuple[Candidate, str]] = []
    seen = {view.text}
    while len(steps) < _MOST:
        following = next(_better(view, around, seen), None)
        if following is None:
            break
        candidate, better = following
        steps.append((candidate, view.text))
        seen.add(better.text)
        view = better
    return view, tuple(steps)


def _better(view: View, around: Around, seen: set[str]) -> Iterator[tuple[Candidate, View]]:
    names = {item.name for item in view.unresolved}
    for rule in RULES.values():
        if not rule.may_apply(view):
            continue
        for candidate in rule.propose(view, around):
            text = apply_edits(view.text, candidate.edits)
            other = with_text(view.source, text) if text not in seen else None
            after = view_of(other) if other is not None else None
            if after is not None and {item.name for item in after.unresolved} <= names:
                yield candidate, after
