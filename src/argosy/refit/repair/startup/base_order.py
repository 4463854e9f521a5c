"""Moves a base class that is listed before a class derived from it behind that class.

`class A(Base, Sub)` with `class Sub(Base)` has no method resolution order: a TypeError in every run. The set
of bases stays the same, and so does every name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule
from argosy.source.control_flow import dotted_name
from argosy.source.symbol_resolver import ClassDefinition

NAME = "base-order"


def may_apply(view: ModuleView) -> bool:
    return any(isinstance(node, ast.ClassDef) and len(node.bases) > 1 for node in view.body)


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for node in view.body:
        if not isinstance(node, ast.ClassDef) or len(node.bases) < 2:
            continue
        order = _linearize(view, node, context)
        if order is None or order == list(range(len(node.bases))):
            continue
        texts = [view.source_segment(base) for base in node.bases]
        edits = tuple(
            SpanEdit(*view.span(base), texts[source])
            for slot, (base, source) in enumerate(zip(node.bases, order, strict=True))
            if slot != source
        )
        bases = ", ".join(texts[source] for source in order)
        description = (
            f"a base listed before a class derived from it moves behind it: `class {node.name}({bases})`"
        )
        yield RepairCandidate(NAME, node.lineno, edits, description)


def _linearize(view: ModuleView, node: ast.ClassDef, context: ProjectContext) -> list[int] | None:
    """Return the indexes of the bases, each after those that derive from it; None if one has no name."""
    names = [dotted_name(base) for base in node.bases]
    if not all(names) or len(set(names)) < len(names):
        return None
    lineages = [context.lineage(view, name) for name in names]
    left = list(range(len(names)))
    order: list[int] = []
    while left:
        at = next(
            (at for at in left if not any(_is_derived(lineages, names, other, at) for other in left)), None
        )
        if at is None:
            return None
        order.append(at)
        left.remove(at)
    return order


def _is_derived(
    lineages: Sequence[tuple[ClassDefinition, ...]], names: Sequence[str], one: int, other: int
) -> bool:
    """Return whether the base `one` derives from the base `other`; every class derives from `object`."""
    if one == other:
        return False
    if names[other] == "object":
        return True
    return bool(lineages[other]) and lineages[other][0] in lineages[one][1:]


MUST_CHANGE = (
    StartupCase(
        "from lib import Base, Sub\n\n\nclass A(Base, Sub):\n    pass\n",
        "from lib import Base, Sub\n\n\nclass A(Sub, Base):\n    pass\n",
        files={"lib.py": "class Base: pass\nclass Sub(Base): pass\n"},
    ),
    StartupCase("class A(object, Exception):\n    pass\n", "class A(Exception, object):\n    pass\n"),
)
MUST_NOT_CHANGE = (
    StartupCase(
        "from lib import Base, Sub\n\n\nclass A(Sub, Base):\n    pass\n",
        files={"lib.py": "class Base: pass\nclass Sub(Base): pass\n"},
    ),
    StartupCase(
        "from lib import Base, Other\n\n\nclass A(Base, Other):\n    pass\n",
        files={"lib.py": "class Base: pass\nclass Other: pass\n"},
    ),
    # The bases are not in the tree.
    StartupCase("from gone import Base, Sub\n\n\nclass A(Base, Sub):\n    pass\n"),
    # Not bases in one line of inheritance.
    StartupCase("class Base: pass\nclass A(Base, metaclass=type): pass\n"),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
