"""The registry of all rules: what they find, their codemods, their texts and cases.

A rule is a module or a package of `argosy.refit.rules`; there is no list to add it to.
"""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from argosy.refit import rules
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.rule_manifest import RuleManifest, describe_rule

if TYPE_CHECKING:
    from argosy.refit.rewrite.codemod import Codemod


class RuleReference(msgspec.Struct, frozen=True):
    """A rule's module: the rule, its docstring and its cases."""

    rule: Rule
    docstring: str
    must_find: tuple[RuleCase, ...]
    must_not_find: tuple[RuleCase, ...]


def load_rules() -> tuple[Rule, ...]:
    """Return every rule, in the order of their codes."""
    return tuple(module.RULE for module in _rule_modules())


def load_available_rules(*, has_fleet: bool) -> tuple[Rule, ...]:
    """Return every rule that can run here, in the order of their codes."""
    return tuple(rule for rule in load_rules() if not rule.unavailable_reason(has_fleet=has_fleet))


def build_rule_manifests(*, has_fleet: bool) -> tuple[RuleManifest, ...]:
    """Return the manifest of every rule that can run here, in the order of their codes."""
    modules = {module.RULE.code: module.__name__ for module in _rule_modules()}
    return tuple(
        describe_rule(rule, modules[rule.code]) for rule in load_available_rules(has_fleet=has_fleet)
    )


def load_references() -> tuple[RuleReference, ...]:
    """Return every rule with its docstring and its cases, in the order of their codes.

    Raises AttributeError: a rule's module has no MUST or MUST_NOT.
    """
    return tuple(
        RuleReference(module.RULE, module.__doc__ or "", tuple(module.MUST), tuple(module.MUST_NOT))
        for module in _rule_modules()
    )


@functools.cache
def load_codemods() -> tuple[Codemod, ...]:
    """Return the codemod of every rule that has one, in the order in which they are applied."""
    (folder,) = rules.__path__
    names = [name for name in _rule_names() if os.path.exists(os.path.join(folder, name, "codemod.py"))]
    modules = [importlib.import_module(f"{rules.__name__}.{name}.codemod") for name in names]
    return tuple(sorted((module.CODEMOD for module in modules), key=lambda codemod: codemod.order))


@functools.cache
def _rule_modules() -> list[ModuleType]:
    modules = [importlib.import_module(f"{rules.__name__}.{name}") for name in _rule_names()]
    found = [module for module in modules if hasattr(module, "RULE")]
    return sorted(found, key=lambda module: module.RULE.code)


def _rule_names() -> list[str]:
    import pkgutil  # noqa: PLC0415 - one edit loads few rules, each by the name of its module

    return [item.name for item in pkgutil.iter_modules(rules.__path__)]
