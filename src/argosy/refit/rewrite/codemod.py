"""The rewrite of a rule, and its plan for one file."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection

import msgspec

from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.transaction.source_change import Change
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite, SourceView


class CodemodPlan(msgspec.Struct, frozen=True):
    """The changes of one file, the sites that they migrate, and those that the codemod refuses."""

    changes: tuple[Change, ...] = ()
    migrated: tuple[RewriteSite, ...] = ()
    refused: tuple[RefusedSite, ...] = ()


class Codemod(msgspec.Struct, frozen=True):
    """The rewrite of one rule, or of several that it fixes together.

    order: the place among all codemods, lower first; each sees the result of the previous ones. codes: the
    findings that it fixes. may_match: a quick test on the bytes of a file. inherited_members: returns the
    members that a class has from a base that this codemod knows, for the check of removed members.
    """

    order: int
    codes: tuple[str, ...]
    may_match: Callable[[bytes], bool]
    plan: Callable[[SourceView, TreeIndex], CodemodPlan]
    inherited_members: Callable[[SourceView, TreeIndex, ast.ClassDef], Collection[str]] | None = None
