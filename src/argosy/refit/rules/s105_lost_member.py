"""An attribute is read on self, and nothing sets it

It raises an AttributeError when it is read. Checked for classes whose whole family is in the tree: no class
of it sets or defines the name, no base or derived class does, and no file sets it from outside. The message
says whether the constructor or `run` leads to it: then the start may fail.

Not reported where a base is outside the tree, where `setattr` or `__dict__` may set anything, and for names
that `hasattr` or `getattr` check.

Instead: restore it. If a class of the same name elsewhere in the tree has it, the hint says where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from argosy.refit.analysis.facts.class_facts import CLASS_FACTS, TreeClass, find_ancestors, find_base
from argosy.refit.analysis.facts.class_members import CLASS_MEMBERS, ClassMembers, MemberRead
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree

_EMPTY_BASES = frozenset({"object", "ABC", "abc.ABC", "Generic", "typing.Generic", "Protocol"})
_BUILTIN_ATTRIBUTES = frozenset(dir(type)) | {"__dict__", "__annotations__", "__name__", "__qualname__"}
_START_METHODS = ("__init__", "run")


def check(tree: SourceTree, path: str) -> Iterator[Finding]:
    """Report each name once for a class, at the place that a start reaches first."""
    members = tree.fact(CLASS_MEMBERS, path)
    for name, own in (members.classes if members is not None else {}).items():
        if not own.undefined_reads:
            continue
        family = _find_family(tree, path, name)
        if family is None:
            continue
        defined = (
            {item for each in family for item in each.defined}
            | tree.compute_once(_names_set_from_outside)
            | _BUILTIN_ATTRIBUTES
        )
        reached = _methods_reached_at_start(family)
        first: dict[str, MemberRead] = {}
        for read in sorted(own.undefined_reads, key=lambda item: (item.method not in reached, item.line)):
            first.setdefault(read.name, read)
        for read in first.values():
            if read.name not in defined:
                yield _make_finding(tree, path, name, read, reached.get(read.method, ""))


def _make_finding(tree: SourceTree, path: str, cls: str, read: MemberRead, start: str) -> Finding:
    last = cls.rpartition(".")[2]
    consequence = f": `{start}` leads there" if start else ""
    other_paths = [
        place for place in tree.compute_once(_paths_by_member).get((last, read.name), ()) if place != path
    ]
    hint = f"the class `{last}` in {other_paths[0]} has it" if other_paths else ""
    message = f"`{cls}.{read.method}` reads `self.{read.name}`, and nothing sets it{consequence}"
    return Finding(path, read.line, read.column, "", message, symbol=f"{cls}.{read.name}", hint=hint)


def _find_family(tree: SourceTree, path: str, name: str) -> list[ClassMembers] | None:
    """Return a class and all that may share an object with it: its bases, its subclasses, and their bases.

    None if one of them is open or outside the tree, or if nothing constructs a class of the family: it may be
    a mixin for classes elsewhere.
    """
    ancestries = tree.compute_once(_find_ancestries)
    own = (path, name)
    keys: set[tuple[str, str]] = set()
    for key, ancestry in ancestries.items():
        if key == own or own in ancestry.ancestors:
            if not ancestry.is_complete:
                return None
            keys |= {key, *ancestry.ancestors}
    files = tree.facts(CLASS_MEMBERS)
    found = [files[at].classes[inner] for at, inner in keys]
    is_complete = not any(item.has_dynamic_attributes for item in found) and any(
        "__init__" in item.defined for item in found
    )
    return found if is_complete else None


class _Ancestry(NamedTuple):
    """The bases of a class, transitively. is_complete: all of them are in the tree."""

    ancestors: frozenset[tuple[str, str]]
    is_complete: bool


def _find_ancestries(tree: SourceTree) -> Mapping[tuple[str, str], _Ancestry]:
    """Return the ancestry of each class of the tree."""
    found: dict[tuple[str, str], _Ancestry] = {}
    for path, classes in tree.facts(CLASS_FACTS).items():
        for name in classes:
            ancestors = find_ancestors(tree, path, name)
            ancestor_keys = frozenset((item.path, item.name) for item in ancestors)
            every = [TreeClass(path, name, classes[name]), *ancestors]
            is_complete = all(
                base in _EMPTY_BASES or find_base(tree, item, base, is_guess_allowed=False) is not None
                for item in every
                for base in item.facts.bases
            )
            found[path, name] = _Ancestry(ancestor_keys, is_complete)
    return found


def _names_set_from_outside(tree: SourceTree) -> frozenset[str]:
    return frozenset(name for item in tree.facts(CLASS_MEMBERS).values() for name in item.set_from_outside)


def _paths_by_member(tree: SourceTree) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the files that define a member, by class and member name."""
    found: dict[tuple[str, str], list[str]] = {}
    for path, item in tree.facts(CLASS_MEMBERS).items():
        for cls, members in item.classes.items():
            for name in members.defined:
                found.setdefault((cls.rpartition(".")[2], name), []).append(path)
    return {key: tuple(paths) for key, paths in found.items()}


def _methods_reached_at_start(family: list[ClassMembers]) -> dict[str, str]:
    """Return the methods that a start calls or passes on, each with the method it starts from."""
    found: dict[str, str] = {}
    for start in _START_METHODS:
        pending = [start]
        while pending:
            method = pending.pop()
            if method not in found:
                found[method] = start
                pending += [name for item in family for name in item.calls.get(method, ())]
    return found


RULE = Rule(
    code="S105",
    title="attribute that nothing sets",
    action="report",
    fact_kinds=(CLASS_MEMBERS,),
    shared_fact_kinds=(CLASS_MEMBERS, CLASS_FACTS),
    check_links=check,
)

MUST = (
    RuleCase(
        "class A:\n    def __init__(self):\n        self.begin()\n\n"
        "    def begin(self):\n        self.loop()  # <--\n"
    ),
    RuleCase(
        files={
            "a.py": "from base import Base\n\nclass A(Base):\n"
            "    def f(self):\n        return self.x + self.y  # <--\n",
            "base.py": "class Base:\n    def __init__(self):\n        self.x = 1\n",
        }
    ),
)
MUST_NOT = (
    RuleCase(
        "class A:\n    def __init__(self): pass\n\n    def f(self):\n        return self.x\n\n"
        "class B(A):\n    x = 1\n"
    ),
    RuleCase("class A:\n    def f(self):\n        return self.x\n\na = A()\na.x = 1\n"),
    RuleCase(
        "class A:\n    def __init__(self, **more):\n        self.__dict__.update(more)\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    RuleCase("class A:\n    def f(self):\n        return self.x if hasattr(self, 'x') else 0\n"),
    RuleCase(
        "from gone import A as Old\n\nclass A(Old):\n    def __init__(self): pass\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    RuleCase("from gone import Base\n\nclass A(Base):\n    def f(self):\n        return self.x\n"),
    RuleCase(
        "class A:\n    def __getattr__(self, name):\n        return 1\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    RuleCase("def mark(cls): return cls\n\n@mark\nclass A:\n    def f(self):\n        return self.x\n"),
    RuleCase("class Mixin:\n    def f(self):\n        return self.x\n"),
    RuleCase("class A:\n    def f(self):\n        return self.__class__, self.__doc__\n"),
)
