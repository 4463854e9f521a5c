"""A startup rule as data, and its cases: small trees, and what becomes of one file in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.startup.project_context import ProjectContext


class StartupCase(msgspec.Struct, frozen=True):
    """before: the file's text. after: what it becomes; None when the rule has to leave it alone.

    path: of the file, relative to the root. files: the rest of the tree. absent: packages that are
    told to be absent.
    """

    before: str
    after: str | None = None
    path: str = "app/case.py"
    files: Mapping[str, str] = {}
    missing_packages: frozenset[str] = frozenset()


class StartupRule(msgspec.Struct, frozen=True):
    """A kind of thing that ends a start, and its cure.

    may_apply: whether it may have something for a file; cheap, by the file alone. propose: yields
    what to change. must, must_not: its cases.
    """

    name: str
    may_apply: Callable[[ModuleView], bool]
    propose: Callable[[ModuleView, ProjectContext], Iterator[RepairCandidate]]
    must_change: tuple[StartupCase, ...]
    must_not_change: tuple[StartupCase, ...]
