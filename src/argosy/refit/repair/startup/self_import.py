"""Removes a module's import of itself.

Loaded as a module, or as a script by its second copy, it imports names from a module that is not initialized
yet: an ImportError in every run. The import is removed if the file defines all of the names itself, one of
them below.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.core.source_file import module_name
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule

NAME = "self-import"


def may_apply(view: ModuleView) -> bool:
    return any(_is_self_import(node, view.path) for node in view.body)


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for index, node in enumerate(view.body):
        if not isinstance(node, ast.ImportFrom) or not _is_self_import(node, view.path):
            continue
        if view.has_own_lines(index) and _is_removable(view, node):
            start = view.line_offset(node.lineno)
            stop = view.line_offset((node.end_lineno or node.lineno) + 1)
            description = f"the module's import of itself, `from {node.module} import …`, is removed"
            yield RepairCandidate(NAME, node.lineno, (SpanEdit(start, stop, ""),), description)


def _is_self_import(node: ast.stmt, path: str) -> bool:
    return isinstance(node, ast.ImportFrom) and not node.level and node.module == module_name(path)


def _is_removable(view: ModuleView, node: ast.ImportFrom) -> bool:
    """Return whether the file defines all of the names, and at least one of them only after this line."""
    lines: list[int] = []
    for alias in node.names:
        definition_lines = [
            binding.line
            for binding in view.scope.bindings.get(alias.name, ())
            if binding.kind in ("def", "class", "assignment") and binding.line != node.lineno
        ]
        if alias.asname not in (None, alias.name) or not definition_lines:
            return False
        lines.append(min(definition_lines))
    return max(lines, default=0) > node.lineno


MUST_CHANGE = (
    StartupCase(
        "import os\nfrom app.case import report\n\n\ndef report(): pass\n",
        "import os\n\n\ndef report(): pass\n",
    ),
)
MUST_NOT_CHANGE = (
    # Defined above: the second copy finds it.
    StartupCase("def report(): pass\n\n\nfrom app.case import report\n"),
    # Another module.
    StartupCase("from other.case import report\n\n\ndef report(): pass\n"),
    # The name of a submodule.
    StartupCase("from app import case\n\nx = case\n", path="app/__init__.py", files={"app/case.py": ""}),
    # A script that needs its classes under the module's name.
    StartupCase(
        "def work(): pass\n\n\nif __name__ == '__main__':\n    from app.case import work\n    work()\n"
    ),
    # Nothing here defines the name.
    StartupCase("from app.case import report\n\nreport()\n"),
    # Used before the file defines it.
    StartupCase("from app.case import report\nreport()\n\n\ndef report(): pass\n"),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
