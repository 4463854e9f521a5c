"""Moves an import that is below the first use of its name above it.

Only a module-level statement whose names nothing else binds in between, and whose module is found from the
root of the tree or comes with Python, so that changes of sys.path in between have no effect.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import ProjectNames
from argosy.refit.repair.span_edit import SpanEdit

NAME = "move-import-up"


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
    for item in view.unresolved:
        if not item.is_import:
            continue
        target, at = view.statement_index(item.line), view.statement_index(item.binding_line)
        if at >= len(view.body) or target >= at or not _is_movable(view, target, at, project_names):
            continue
        node = view.body[at]
        start = view.line_offset(node.lineno)
        stop = view.line_offset((node.end_lineno or node.lineno) + 1)
        offset = view.line_offset(view.statement_first_line(target))
        import_text = view.text[start:stop]
        if not import_text.endswith(("\n", "\r")):
            continue
        edits = (SpanEdit(offset, offset, import_text), SpanEdit(start, stop, ""))
        description = f"the import of `{item.name}` moves from line {node.lineno} above its first use"
        yield RepairCandidate(NAME, item.line, edits, description)


def _is_movable(view: ModuleView, target: int, at: int, project_names: ProjectNames) -> bool:
    node = view.body[at]
    if not isinstance(node, ast.Import | ast.ImportFrom) or not (
        view.has_own_lines(at) and view.has_own_lines(target)
    ):
        return False
    modules = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    )
    if getattr(node, "level", 0) or not all(project_names.module_exists(module) for module in modules):
        return False
    bound = {alias.asname or alias.name.split(".")[0] for alias in node.names}
    first, last = view.statement_first_line(target), node.lineno
    others = [
        binding
        for name in bound
        for binding in view.scope.bindings.get(name, ())
        if first <= binding.line < last and binding.kind != "import"
    ]
    return not others
