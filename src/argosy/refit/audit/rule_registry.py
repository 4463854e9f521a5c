"""The registry of all rules: those that only report, and those of the codemods."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterator
from types import ModuleType

import msgspec

from argosy.refit import codemods, rules
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.rule_manifest import RuleManifest, describe_rule


class RuleReference(msgspec.Struct, frozen=True):
    """A rule's module: the rule, its docstring and its cases."""

    rule: Rule
    docstring: str
    must_find: tuple[RuleCase, ...]
    must_not_find: tuple[RuleCase, ...]


def load_rules() -> tuple[Rule, ...]:
    """Return every rule, in the order of their codes."""
    return tuple(sorted((module.RULE for module in _rule_modules()), key=lambda rule: rule.code))


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
    found = [
        RuleReference(module.RULE, module.__doc__ or "", tuple(module.MUST), tuple(module.MUST_NOT))
        for module in _rule_modules()
    ]
    return tuple(sorted(found, key=lambda item: item.rule.code))


@functools.cache
def _rule_modules() -> list[ModuleType]:
    modules = [importlib.import_module(name) for name in _rule_module_names()]
    return [module for module in modules if hasattr(module, "RULE")]


def _rule_module_names() -> Iterator[str]:
    """Yield the modules of `rules`, and those named `*_rule` in the packages of `codemods`."""
    import pkgutil  # noqa: PLC0415 - one edit loads few rules, each by the name of its module

    yield from (f"{rules.__name__}.{item.name}" for item in pkgutil.iter_modules(rules.__path__))
    (folder,) = codemods.__path__
    for package in pkgutil.iter_modules(codemods.__path__):
        for item in pkgutil.iter_modules([os.path.join(folder, package.name)]):
            if item.name.endswith("_rule"):
                yield f"{codemods.__name__}.{package.name}.{item.name}"
