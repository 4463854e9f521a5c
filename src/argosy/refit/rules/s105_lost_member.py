"""An attribute is read on self, and nothing sets it

An AttributeError that waits. Asked about classes whose whole family the tree shows: no class of it sets or
defines the name, no base or derived class does, no file sets it from outside. The message says where the
constructor or `run` leads to it: then it may end the start.

Silent where a base is not of the tree, where `setattr` or `__dict__` may set anything, and for names that
`hasattr` or `getattr` ask for.

Instead: bring it back. Where a class of the same name elsewhere in the tree has it, the hint says where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from argosy.refit.facts.classes import CLASSES, Relative, bases_of, find_base
from argosy.refit.facts.members import MEMBERS, Members, Read
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree

_BARE = frozenset({"object", "ABC", "abc.ABC", "Generic", "typing.Generic", "Protocol"})
_OF_EVERY = frozenset(dir(type)) | {"__dict__", "__annotations__", "__name__", "__qualname__"}
_STARTS = ("__init__", "run")


def check(tree: Tree, path: str) -> Iterator[Finding]:
    """Tell each name once for a class, at the place that a start reaches first."""
    members = tree.fact(MEMBERS, path)
    for name, own in (members.classes if members is not None else {}).items():
        if not own.reads:
            continue
        family = _family(tree, path, name)
        if family is None:
            continue
        has = {item for each in family for item in each.has} | tree.derived(_set_outside) | _OF_EVERY
        reached = _reached(family)
        first: dict[str, Read] = {}
        for read in sorted(own.reads, key=lambda item: (item.method not in reached, item.line)):
            first.setdefault(read.name, read)
        for read in first.values():
            if read.name not in has:
                yield _finding(tree, path, name, read, reached.get(read.method, ""))


def _finding(tree: Tree, path: str, cls: str, read: Read, start: str) -> Finding:
    last = cls.rpartition(".")[2]
    ends = f": `{start}` leads there" if start else ""
    homes = [place for place in tree.derived(_homes).get((last, read.name), ()) if place != path]
    hint = f"the class `{last}` in {homes[0]} has it" if homes else ""
    message = f"`{cls}.{read.method}` reads `self.{read.name}`, and nothing sets it{ends}"
    return Finding(path, read.line, read.column, "", message, symbol=f"{cls}.{read.name}", hint=hint)


def _family(tree: Tree, path: str, name: str) -> list[Members] | None:
    """Return a class and all that share an object with it: its bases, those derived from it, theirs.

    None where one of them is open or not of the tree, and for a family that nobody constructs: what only
    lends its methods to classes elsewhere.
    """
    lines = tree.derived(_lines)
    own = (path, name)
    keys: set[tuple[str, str]] = set()
    for key, line in lines.items():
        if key == own or own in line.known:
            if not line.is_whole:
                return None
            keys |= {key, *line.known}
    files = tree.facts(MEMBERS)
    found = [files[at].classes[inner] for at, inner in keys]
    is_told = not any(item.is_open for item in found) and any("__init__" in item.has for item in found)
    return found if is_told else None


class _Line(NamedTuple):
    """The bases of a class, and theirs. is_whole: all of them are of the tree."""

    known: frozenset[tuple[str, str]]
    is_whole: bool


def _lines(tree: Tree) -> Mapping[tuple[str, str], _Line]:
    """Return the bases of each class of the tree."""
    found: dict[tuple[str, str], _Line] = {}
    for path, classes in tree.facts(CLASSES).items():
        for name in classes:
            relatives = bases_of(tree, path, name)
            known = frozenset((item.path, item.name) for item in relatives)
            every = [Relative(path, name, classes[name]), *relatives]
            is_whole = all(
                base in _BARE or find_base(tree, item, base, is_guessed=False) is not None
                for item in every
                for base in item.facts.bases
            )
            found[path, name] = _Line(known, is_whole)
    return found


def _set_outside(tree: Tree) -> frozenset[str]:
    return frozenset(name for item in tree.facts(MEMBERS).values() for name in item.set_outside)


def _homes(tree: Tree) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the files that have a class and in it a name, by both."""
    found: dict[tuple[str, str], list[str]] = {}
    for path, item in tree.facts(MEMBERS).items():
        for cls, members in item.classes.items():
            for name in members.has:
                found.setdefault((cls.rpartition(".")[2], name), []).append(path)
    return {key: tuple(paths) for key, paths in found.items()}


def _reached(family: list[Members]) -> dict[str, str]:
    """Return the methods that a start calls or hands on, each with the one that it starts from."""
    found: dict[str, str] = {}
    for start in _STARTS:
        todo = [start]
        while todo:
            method = todo.pop()
            if method not in found:
                found[method] = start
                todo += [name for item in family for name in item.calls.get(method, ())]
    return found


RULE = Rule(
    code="S105",
    title="attribute that nothing sets",
    action="report",
    needs=(MEMBERS,),
    sees=(MEMBERS, CLASSES),
    link=check,
)

MUST = (
    Case(
        "class A:\n    def __init__(self):\n        self.begin()\n\n"
        "    def begin(self):\n        self.loop()  # <--\n"
    ),
    Case(
        files={
            "a.py": "from base import Base\n\nclass A(Base):\n"
            "    def f(self):\n        return self.x + self.y  # <--\n",
            "base.py": "class Base:\n    def __init__(self):\n        self.x = 1\n",
        }
    ),
)
MUST_NOT = (
    Case(
        "class A:\n    def __init__(self): pass\n\n    def f(self):\n        return self.x\n\n"
        "class B(A):\n    x = 1\n"
    ),
    Case("class A:\n    def f(self):\n        return self.x\n\na = A()\na.x = 1\n"),
    Case(
        "class A:\n    def __init__(self, **more):\n        self.__dict__.update(more)\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    Case("class A:\n    def f(self):\n        return self.x if hasattr(self, 'x') else 0\n"),
    Case(
        "from gone import A as Old\n\nclass A(Old):\n    def __init__(self): pass\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    Case("from gone import Base\n\nclass A(Base):\n    def f(self):\n        return self.x\n"),
    Case(
        "class A:\n    def __getattr__(self, name):\n        return 1\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    Case("def mark(cls): return cls\n\n@mark\nclass A:\n    def f(self):\n        return self.x\n"),
    Case("class Mixin:\n    def f(self):\n        return self.x\n"),
    Case("class A:\n    def f(self):\n        return self.__class__, self.__doc__\n"),
)
