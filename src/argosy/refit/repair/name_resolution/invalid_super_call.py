"""Removes `super().__init__(*args, **kwargs)` from a function that has neither parameter.

It was inserted without regard to the function's parameters. The names are bound nowhere in the file, so every
call of the function fails there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import ProjectNames
from argosy.refit.repair.span_edit import SpanEdit

NAME = "invalid-super-call"
_SUPER_CALL = "super().__init__(*args, **kwargs)"


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
    unbound = {item.name for item in view.unresolved}
    if not {"args", "kwargs"} <= unbound:
        return
    edits: list[SpanEdit] = []
    line = 0
    for node in ast.walk(view.parsed.tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        parameters = {arg.arg for arg in (node.args.vararg, node.args.kwarg) if arg is not None}
        for at, item in enumerate(node.body):
            is_call = isinstance(item, ast.Expr) and ast.unparse(item) == _SUPER_CALL
            if is_call and not parameters & {"args", "kwargs"} and len(node.body) > 1:
                line = item.lineno
                after = node.body[at + 1].lineno if at + 1 < len(node.body) else (item.end_lineno or line) + 1
                if after > (item.end_lineno or line) and item.lineno > node.lineno:
                    start = view.line_offset(item.lineno)
                    edits.append(SpanEdit(start, view.line_offset((item.end_lineno or line) + 1), ""))
    if edits:
        description = f"`{_SUPER_CALL}` in a function without such parameters is removed"
        yield RepairCandidate(NAME, line, tuple(edits), description)
