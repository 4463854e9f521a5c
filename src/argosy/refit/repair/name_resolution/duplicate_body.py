"""Removes the first of two bodies of a constructor, which reads names that it does not have.

The first ends in a NameError in every run; the second sets every attribute that the first sets, and makes the
same calls.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import ProjectNames
from argosy.refit.repair.span_edit import SpanEdit

NAME = "duplicate-body"


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
    unbound = {item.name for item in view.unresolved if not item.binding_line}
    if not unbound:
        return
    for node in ast.walk(view.parsed.tree):
        if not isinstance(node, ast.FunctionDef) or node.name != "__init__":
            continue
        copy_span = _first_copy(node.body, unbound)
        if copy_span is None:
            continue
        first, stop = node.body[copy_span[0]], node.body[copy_span[1]]
        start = view.line_offset(first.lineno)
        if node.body[copy_span[0] - 1].end_lineno == first.lineno or stop.lineno == first.lineno:
            continue
        description = "the first of two bodies of a constructor, which reads unbound names, is removed"
        yield RepairCandidate(
            NAME, first.lineno, (SpanEdit(start, view.line_offset(stop.lineno), ""),), description, 1
        )


def _first_copy(body: Sequence[ast.stmt], unbound: set[str]) -> tuple[int, int] | None:
    """Return the indexes of the statements that are repeated below without unbound names."""
    start = next((at for at, item in enumerate(body) if _names(item) & unbound), None)
    if not start or not _effects(body[start : start + 1]):
        return None
    first_effects = _effects(body[start : start + 1])
    for stop in range(start + 1, len(body)):
        following = body[stop:]
        is_again = first_effects <= _effects(body[stop : stop + 1])
        if (
            is_again
            and _effects(body[start:stop]) <= _effects(following)
            and not any(_names(item) & unbound for item in following)
        ):
            return start, stop
    return None


def _names(node: ast.stmt) -> set[str]:
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}


def _effects(body: Sequence[ast.stmt]) -> set[str]:
    """Return what statements do to the object: attributes set, methods called; code for anything else."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.Assign):
            found |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            if not called.startswith(("logger.", "logging.", "self.logger.", "print")):
                found.add(f"{called}()")
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            found.add(ast.unparse(node))
    return found
