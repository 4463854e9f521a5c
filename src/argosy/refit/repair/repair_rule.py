"""A candidate for one repair step, and the data of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.transaction.text_edit import TextEdit


class RepairCandidate(msgspec.Struct, frozen=True):
    """One step that a rule proposes.

    line: where it applies. edits: the changes of the text. description: what the step does, for people.
    penalty: 0 if the text proves the step, more for each reason to doubt it. alternatives: how many ways the
    rule found.
    """

    rule: str
    line: int
    edits: tuple[TextEdit, ...]
    description: str
    penalty: int = 0
    alternatives: int = 1


# A rule only proposes ways to repair the first break, the likeliest first; the parser and the checks decide.
SyntaxRule = Callable[[BrokenSource], Iterator[RepairCandidate]]


class StartupCase(msgspec.Struct, frozen=True):
    """A case. before: the file's text. after: the expected text; None if the rule has to leave it alone.

    path: of the file, relative to the root. files: the rest of the tree. missing_packages: packages that are
    declared missing.
    """

    before: str
    after: str | None = None
    path: str = "app/case.py"
    files: Mapping[str, str] = {}
    missing_packages: frozenset[str] = frozenset()


def _may_always(view: ModuleView) -> bool:
    return True


class RepairRule(msgspec.Struct, frozen=True):
    """A failure of a file that parses, and its repair.

    propose: yields candidates. may_apply: whether the rule may apply to a file; a quick check of the file
    alone. must_change, must_not_change: its cases.
    """

    name: str
    propose: Callable[[ModuleView, ProjectContext], Iterator[RepairCandidate]]
    may_apply: Callable[[ModuleView], bool] = _may_always
    must_change: tuple[StartupCase, ...] = ()
    must_not_change: tuple[StartupCase, ...] = ()
