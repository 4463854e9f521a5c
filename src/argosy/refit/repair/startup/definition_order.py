"""Start-up rules for the order of definitions: of bases, and of the main block."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import detect_newline
from argosy.source import control_flow
from argosy.source.control_flow import dotted_name
from argosy.source.symbol_resolver import ClassDefinition


def _may_base_order(view: ModuleView) -> bool:
    return any(isinstance(node, ast.ClassDef) and len(node.bases) > 1 for node in view.body)


def propose_base_order(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Move a base class that is listed before a class derived from it behind that class.

    `class A(Base, Sub)` with `class Sub(Base)` has no method resolution order: a TypeError in every run. The
    set of bases stays the same, and so does every name.
    """
    for node in view.body:
        if not isinstance(node, ast.ClassDef) or len(node.bases) < 2:
            continue
        order = _linearize(view, node, context)
        if order is None or order == list(range(len(node.bases))):
            continue
        texts = [view.source_segment(base) for base in node.bases]
        edits = tuple(
            TextEdit(*view.span(base), texts[source])
            for slot, (base, source) in enumerate(zip(node.bases, order, strict=True))
            if slot != source
        )
        bases = ", ".join(texts[source] for source in order)
        description = (
            f"a base listed before a class derived from it moves behind it: `class {node.name}({bases})`"
        )
        yield RepairCandidate("base-order", node.lineno, edits, description)


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


_BASE_ORDER_MUST_CHANGE = (
    StartupCase(
        "from lib import Base, Sub\n\n\nclass A(Base, Sub):\n    pass\n",
        "from lib import Base, Sub\n\n\nclass A(Sub, Base):\n    pass\n",
        files={"lib.py": "class Base: pass\nclass Sub(Base): pass\n"},
    ),
    StartupCase("class A(object, Exception):\n    pass\n", "class A(Exception, object):\n    pass\n"),
)
_BASE_ORDER_MUST_NOT_CHANGE = (
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

BASE_ORDER = RepairRule(
    "base-order", propose_base_order, _may_base_order, _BASE_ORDER_MUST_CHANGE, _BASE_ORDER_MUST_NOT_CHANGE
)


def _may_main_block_last(view: ModuleView) -> bool:
    return bool(_main_blocks(view)) and _main_blocks(view)[0] < len(view.body) - 1


def propose_main_block_last(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Move `if __name__ == "__main__":` below the definitions that it needs.

    The block runs before what is below it is defined: a NameError. It moves if it is the only one, if there
    are only functions, classes, imports and assignments below it, and if it or a function above it reads one
    of their names that nothing above binds.
    """
    blocks = _main_blocks(view)
    if len(blocks) != 1 or blocks[0] == len(view.body) - 1:
        return
    at = blocks[0]
    block, below = view.body[at], view.body[at + 1 :]
    if not view.has_own_lines(at) or not all(_only_binds_names(item) for item in below):
        return
    new_names = {name for name in _names_bound_in(view, below) if _is_new(view, name, block.lineno)}
    if not any(name in view.uses_by_name and _is_read_above(view, name, below) for name in new_names):
        return
    start, stop = view.lines_span(block)
    end = len(view.text)
    newline = detect_newline(view.text)
    gap = "" if view.text.endswith(("\n", "\r")) else newline
    block_text = view.text[start:stop]
    edits = (TextEdit(start, stop, ""), TextEdit(end, end, f"{gap}{newline}{newline}{block_text}"))
    description = "the main block moves below the definitions that it needs"
    yield RepairCandidate("main-block-last", block.lineno, edits, description)


def _main_blocks(view: ModuleView) -> list[int]:
    return [
        at
        for at, node in enumerate(view.body)
        if isinstance(node, ast.If) and control_flow.is_main_test(node.test)
    ]


def _only_binds_names(node: ast.stmt) -> bool:
    """Return whether a statement only binds names."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign | ast.AnnAssign)


def _names_bound_in(view: ModuleView, below: Sequence[ast.stmt]) -> set[str]:
    lines = {line for node in below for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return {
        name
        for name, bindings in view.scope.bindings.items()
        if any(binding.line in lines for binding in bindings)
    }


def _is_new(view: ModuleView, name: str, line: int) -> bool:
    return all(binding.line > line for binding in view.scope.bindings[name])


def _is_read_above(view: ModuleView, name: str, below: Sequence[ast.stmt]) -> bool:
    first = below[0].lineno
    return any(use.node.lineno < first for use, _ in view.module_uses(name))


_MAIN = "if __name__ == '__main__':\n    run()\n"
_MAIN_BLOCK_LAST_MUST_CHANGE = (
    StartupCase(
        f"import sys\n\n{_MAIN}\n\ndef run():\n    pass\n",
        f"import sys\n\n\n\ndef run():\n    pass\n\n\n{_MAIN}",
    ),
    StartupCase(
        f"def run():\n    return late()\n\n\n{_MAIN}\n\ndef late():\n    pass",
        f"def run():\n    return late()\n\n\n\n\ndef late():\n    pass\n\n\n{_MAIN}",
    ),
    StartupCase(
        f"def run():\n    return HOST\n\n\n{_MAIN}\n\ndef read(): return 1\n\n\nHOST = read()\n",
        f"def run():\n    return HOST\n\n\n\n\ndef read(): return 1\n\n\nHOST = read()\n\n\n{_MAIN}",
    ),
)
_MAIN_BLOCK_LAST_MUST_NOT_CHANGE = (
    # Nothing below is needed before.
    StartupCase(f"def run():\n    pass\n\n\n{_MAIN}\n\ndef other():\n    pass\n"),
    # Code below has effects.
    StartupCase(f"{_MAIN}\n\ndef run():\n    pass\n\n\nrun()\n"),
    # Two of them: a person has to decide which one is meant.
    StartupCase(f"{_MAIN}\n\ndef run():\n    pass\n\n\n{_MAIN}"),
    # Already defined above.
    StartupCase(f"def run():\n    pass\n\n\n{_MAIN}\n\ndef run():\n    pass\n"),
    StartupCase(f"def run():\n    pass\n\n\n{_MAIN}"),
)

MAIN_BLOCK_LAST = RepairRule(
    "main-block-last",
    propose_main_block_last,
    _may_main_block_last,
    _MAIN_BLOCK_LAST_MUST_CHANGE,
    _MAIN_BLOCK_LAST_MUST_NOT_CHANGE,
)
