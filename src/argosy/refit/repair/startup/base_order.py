"""A base that is listed before a class derived from it: it moves behind that class.

`class A(Base, Sub)` with `class Sub(Base)` has no method resolution order: a TypeError, always. The bases
stay the same, and so does every name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source.classes import Class
from argosy.source.flow import dotted

NAME = "base-order"


def may_apply(view: View) -> bool:
    return any(isinstance(node, ast.ClassDef) and len(node.bases) > 1 for node in view.body)


def propose(view: View, around: Around) -> Iterator[Candidate]:
    for node in view.body:
        if not isinstance(node, ast.ClassDef) or len(node.bases) < 2:
            continue
        order = _order(view, node, around)
        if order is None or order == list(range(len(node.bases))):
            continue
        texts = [view.segment(base) for base in node.bases]
        edits = tuple(
            Edit(*view.span(base), texts[source])
            for slot, (base, source) in enumerate(zip(node.bases, order, strict=True))
            if slot != source
        )
        bases = ", ".join(texts[source] for source in order)
        said = (
            f"a base that stood before a class derived from it moves behind it: `class {node.name}({bases})`"
        )
        yield Candidate(NAME, node.lineno, edits, said)


def _order(view: View, node: ast.ClassDef, around: Around) -> list[int] | None:
    """Return the bases, by index, each behind those that derive from it; None for one that has no name."""
    names = [dotted(base) for base in node.bases]
    if not all(names) or len(set(names)) < len(names):
        return None
    lines = [around.lineage(view, name) for name in names]
    left = list(range(len(names)))
    order: list[int] = []
    while left:
        at = next((at for at in left if not any(_derives(lines, names, other, at) for other in left)), None)
        if at is None:
            return None
        order.append(at)
        left.remove(at)
    return order


def _derives(lines: Sequence[tuple[Class, ...]], names: Sequence[str], one: int, other: int) -> bool:
    """Return whether the base `one` derives from the base `other`; every class does from `object`."""
    if one == other:
        return False
    if names[other] == "object":
        return True
    return bool(lines[other]) and lines[other][0] in lines[one][1:]


MUST = (
    Case(
        "from lib import Base, Sub\n\n\nclass A(Base, Sub):\n    pass\n",
        "from lib import Base, Sub\n\n\nclass A(Sub, Base):\n    pass\n",
        files={"lib.py": "class Base: pass\nclass Sub(Base): pass\n"},
    ),
    Case("class A(object, Exception):\n    pass\n", "class A(Exception, object):\n    pass\n"),
)
MUST_NOT = (
    Case(
        "from lib import Base, Sub\n\n\nclass A(Sub, Base):\n    pass\n",
        files={"lib.py": "class Base: pass\nclass Sub(Base): pass\n"},
    ),
    Case(
        "from lib import Base, Other\n\n\nclass A(Base, Other):\n    pass\n",
        files={"lib.py": "class Base: pass\nclass Other: pass\n"},
    ),
    # The bases are not of the tree.
    Case("from gone import Base, Sub\n\n\nclass A(Base, Sub):\n    pass\n"),
    # Not bases of one line.
    Case("class Base: pass\nclass A(Base, metaclass=type): pass\n"),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
