"""The data of a start-up rule, and its cases: small trees, and the result for one file in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.startup.project_context import ProjectContext


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


class StartupRule(msgspec.Struct, frozen=True):
    """A failure at start-up and its repair.

    may_apply: whether the rule may apply to a file; a quick check of the file alone. propose: yields
    candidates. must_change, must_not_change: its cases.
    """

    name: str
    may_apply: Callable[[ModuleView], bool]
    propose: Callable[[ModuleView, ProjectContext], Iterator[RepairCandidate]]
    must_change: tuple[StartupCase, ...]
    must_not_change: tuple[StartupCase, ...]
