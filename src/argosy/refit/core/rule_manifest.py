"""Rules and kinds of facts before they are loaded: an edit of one file concerns few of them.

To load them all takes longer than to read a file by those that it is about.
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
    """What is to be known of a rule.

    module: holds it as RULE. words: as the rule has them; is_file: whether it looks at Python files alone.
    is_joint: whether it looks at several files; kinds: the facts that it reads for that.
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
    """Where a kind of facts that Python files yield is: a module and its attribute. only: as in the kind."""

    module: str
    attribute: str
    only_filename: str

    def load(self) -> FactKind[Any]:
        """Return the kind of facts."""
        kind: FactKind[Any] = getattr(importlib.import_module(self.module), self.attribute)
        return kind


def describe_rule(rule: Rule, module: str) -> RuleManifest:
    """Return what is to be known of a rule that `module` holds."""
    is_cross_file = rule.check_links is not None or rule.check_tree is not None
    kinds = tuple(kind.name for kind in (*rule.fact_kinds, *rule.shared_fact_kinds))
    return RuleManifest(
        rule.code, module, rule.required_words, rule.check_file is not None, is_cross_file, kinds
    )


def describe_fact_kinds(kinds: Iterable[FactKind[Any]]) -> tuple[FactManifest, ...]:
    """Return where the kinds are that Python files yield: each is an attribute where its `collect` is."""
    found = []
    for kind in kinds:
        if kind.collect is not None:
            module = importlib.import_module(kind.collect.__module__)
            (attribute,) = (name for name, value in vars(module).items() if value is kind)
            found.append(FactManifest(module.__name__, attribute, kind.only_filename))
    return tuple(found)
