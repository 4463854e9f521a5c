"""Metadata of rules and fact kinds, for loading only those that one edit needs.

Loading all of them takes longer than checking one file with the rules that apply to it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from argosy.refit.core.fact import FactKind
    from argosy.refit.core.rule import Rule


class RuleManifest(msgspec.Struct, frozen=True, array_like=True):
    """The metadata of a rule.

    module: has it as RULE. required_words: as in the rule. has_file_check: whether it checks single Python
    files. is_cross_file: whether it checks several files. fact_kinds: the facts that it reads for that.
    """

    code: str
    module: str
    required_words: tuple[bytes, ...]
    has_file_check: bool
    is_cross_file: bool
    fact_kinds: tuple[str, ...]

    def load(self) -> Rule:
        """Return the rule."""
        rule: Rule = importlib.import_module(self.module).RULE
        return rule


class FactManifest(msgspec.Struct, frozen=True, array_like=True):
    """Where a kind of facts about Python files is defined. only_filename: as in the kind."""

    module: str
    attribute: str
    only_filename: str

    def load(self) -> FactKind[Any]:
        """Return the kind of facts."""
        kind: FactKind[Any] = getattr(importlib.import_module(self.module), self.attribute)
        return kind


def describe_rule(rule: Rule, module: str) -> RuleManifest:
    """Return the manifest of a rule that `module` defines."""
    is_cross_file = rule.check_links is not None or rule.check_tree is not None
    kinds = tuple(kind.name for kind in (*rule.fact_kinds, *rule.shared_fact_kinds))
    return RuleManifest(
        rule.code, module, rule.required_words, rule.check_file is not None, is_cross_file, kinds
    )


def describe_fact_kinds(kinds: Iterable[FactKind[Any]]) -> tuple[FactManifest, ...]:
    """Return the manifests of kinds about Python files; each is in the module of its `collect`."""
    found = []
    for kind in kinds:
        if kind.collect is not None:
            module = importlib.import_module(kind.collect.__module__)
            (attribute,) = (name for name, value in vars(module).items() if value is kind)
            found.append(FactManifest(module.__name__, attribute, kind.only_filename))
    return tuple(found)
