"""A rule as data, its cases, and the rules that there are."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import msgspec

from argosy.refit import rules as shelf
from argosy.refit.fact import FactKind
from argosy.refit.file import BrokenFile, PythonFile, TextFile
from argosy.refit.finding import Action, Finding
from argosy.refit.sketch import RuleSketch, sketch_rule
from argosy.refit.tree import Tree

NO_FLEET = "no fleet file"

_MARK = re.compile(r"#\s*<--")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to find. Its module's docstring is its reference; see `argosy.refit.rules`.

    file: reads one Python file. words: it is asked only about sources that hold one of these; none: all.
    broken: reads one Python file that Python cannot run.
    text: reads one other file whose name fits one of the globs `names`. texts: reads several of them at once,
    and returns what it finds in each, in their order; for what asks a program that is slow to start.
    link: reads one file's facts (of the kinds `needs`), given those of all files (of the kinds `sees`).
    tree: reads the facts of all files (of the kinds `needs`).
    is_for_fleet: it compares with a fleet file; without one it is not asked, which is told once.
    lacks: returns what the rule needs and this machine has not, or an empty text. A rule that lacks something
    is not asked, which is told once where there is a file for it.
    """

    code: str
    title: str
    action: Action
    words: tuple[bytes, ...] = ()
    file: Callable[[PythonFile], Iterable[Finding]] | None = None
    broken: Callable[[BrokenFile], Iterable[Finding]] | None = None
    names: tuple[str, ...] = ()
    text: Callable[[TextFile], Iterable[Finding]] | None = None
    texts: Callable[[Sequence[TextFile]], Sequence[Iterable[Finding]]] | None = None
    needs: tuple[FactKind[Any], ...] = ()
    sees: tuple[FactKind[Any], ...] = ()
    link: Callable[[Tree, str], Iterable[Finding]] | None = None
    tree: Callable[[Tree], Iterable[Finding]] | None = None
    is_for_fleet: bool = False
    lacks: Callable[[], str] | None = None

    def refusal(self, *, has_fleet: bool) -> str:
        """Return why it cannot be asked, an empty text where it can."""
        if self.is_for_fleet and not has_fleet:
            return NO_FLEET
        return self.lacks() if self.lacks is not None else ""

    def stamp(self, found: Iterable[Finding]) -> list[Finding]:
        """Return findings with this rule's code, and its action where they have none of their own."""
        return [
            msgspec.structs.replace(item, code=self.code, action=item.action or self.action) for item in found
        ]


class Case(msgspec.Struct, frozen=True):
    """A source, or a small tree of them, and the places where its rule must find something.

    source: one file's text or bytes; it gets the name `case.py`. files: several, by path, in its place.
    lines: the expected lines of `source`; None to take those that end in the comment `# <--`, which also
    tells them in `files`. fleet: the text of a fleet file at the root.
    """

    source: str | bytes = ""
    files: Mapping[str, str | bytes] = {}
    lines: tuple[int, ...] | None = None
    fleet: str | None = None

    def tree(self) -> dict[str, bytes]:
        """Return the case's files by path."""
        files = dict(self.files) or {"case.py": self.source}
        return {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}

    def expected(self) -> set[tuple[str, int]]:
        """Return path and line of every place that is marked."""
        if self.lines is not None:
            return {(next(iter(self.tree())), line) for line in self.lines}
        return {
            (path, number)
            for path, data in self.tree().items()
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1)
            if _MARK.search(line)
        }


class Ruled(msgspec.Struct, frozen=True):
    """A rule's module, read: the rule, its reference, its cases."""

    rule: Rule
    doc: str
    must: tuple[Case, ...]
    must_not: tuple[Case, ...]


def load_rules() -> tuple[Rule, ...]:
    """Return every rule, in the order of their codes."""
    return tuple(sorted((module.RULE for module in _modules()), key=lambda rule: rule.code))


def load_askable(*, has_fleet: bool) -> tuple[Rule, ...]:
    """Return every rule that can be asked here, in the order of their codes."""
    return tuple(rule for rule in load_rules() if not rule.refusal(has_fleet=has_fleet))


def sketch_askable(*, has_fleet: bool) -> tuple[RuleSketch, ...]:
    """Return what is to be known of every rule that can be asked here, in the order of their codes."""
    modules = {module.RULE.code: module.__name__ for module in _modules()}
    return tuple(sketch_rule(rule, modules[rule.code]) for rule in load_askable(has_fleet=has_fleet))


def load_references() -> tuple[Ruled, ...]:
    """Return every rule with its docstring and its cases, in the order of their codes.

    Raises AttributeError: a rule's module lacks MUST or MUST_NOT.
    """
    found = [
        Ruled(module.RULE, module.__doc__ or "", tuple(module.MUST), tuple(module.MUST_NOT))
        for module in _modules()
    ]
    return tuple(sorted(found, key=lambda item: item.rule.code))


def fact_kinds(rules: Iterable[Rule]) -> tuple[FactKind[Any], ...]:
    """Return the kinds of facts that `rules` read, each once."""
    kinds = {kind.name: kind for rule in rules for kind in (*rule.needs, *rule.sees)}
    return tuple(kinds.values())


@functools.cache
def _modules() -> list[ModuleType]:
    import pkgutil  # noqa: PLC0415 - one edit concerns few rules, each of which is known by its module

    names = [item.name for item in pkgutil.iter_modules(shelf.__path__)]
    modules = [importlib.import_module(f"{shelf.__name__}.{name}") for name in names]
    return [module for module in modules if hasattr(module, "RULE")]
