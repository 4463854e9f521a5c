"""Moves `if __name__ == "__main__":` below the definitions that it needs.

The block runs before what is below it is defined: a NameError. It moves if it is the only one, if there are
only functions, classes, imports and assignments below it, and if it or a function above it reads one of their
names that nothing above binds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit, detect_newline
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule
from argosy.source import control_flow

NAME = "main-block-last"


def may_apply(view: ModuleView) -> bool:
    return bool(_main_blocks(view)) and _main_blocks(view)[0] < len(view.body) - 1


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
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
    start = view.line_offset(block.lineno)
    stop = view.line_offset((block.end_lineno or block.lineno) + 1)
    end = len(view.text)
    newline = detect_newline(view.text)
    gap = "" if view.text.endswith(("\n", "\r")) else newline
    block_text = view.text[start:stop]
    edits = (SpanEdit(start, stop, ""), SpanEdit(end, end, f"{gap}{newline}{newline}{block_text}"))
    description = "the main block moves below the definitions that it needs"
    yield RepairCandidate(NAME, block.lineno, edits, description)


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
MUST_CHANGE = (
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
MUST_NOT_CHANGE = (
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

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
