"""Finds the position of a new import, so that the code that needs it always finds it bound.

The import is inserted after an import that this code already needs: a path that executes that one also
executes the new one, whatever surrounds the two (a function, a condition, a `try`). If the existing import is
part of a run of imports, the new one follows the run, provided that its users come later.
"""

from __future__ import annotations

import ast

from argosy.refit.analysis.ast_queries import is_docstring
from argosy.refit.transaction.source_change import Insertion, position_of
from argosy.refit.transaction.source_view import SourceView


def import_after(
    view: SourceView, existing_import: ast.stmt, users: list[ast.expr], source: str
) -> Insertion:
    """Return the insertion of the import `source` for the nodes that use it.

    existing_import: the import statement that `users` already need, in their module or function.
    """
    block = view.containing_block(existing_import)
    last = existing_import
    if view.parents.get(existing_import) is view.tree:
        at = block.index(existing_import)
        run = at
        while run + 1 < len(block) and isinstance(block[run + 1], ast.Import | ast.ImportFrom):
            run += 1
        # A function defined further down cannot be called while the run of imports is executed.
        if all(user.lineno > (block[run].end_lineno or 0) for user in users):
            last = block[run]
    return Insertion(position_of(last), source)


def import_at_top(view: SourceView, source: str) -> Insertion:
    """Return the insertion of the import `source` after the first imports of the module."""
    body = view.tree.body
    last = None
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or (last is None and is_docstring(statement)):
            last = statement
        else:
            break
    if last is None:
        return Insertion(position_of(body[0]), source, is_before=True)
    return Insertion(position_of(last), source)


def has_import(view: SourceView, source: str) -> bool:
    """Return whether the module imports `source` as a statement of its own before any other code."""
    for statement in view.tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            if ast.unparse(statement) == source:
                return True
        elif not is_docstring(statement):
            return False
    return False


def is_argosy_shadowed(view: SourceView) -> bool:
    """Return whether the name `argosy` means anything other than the package anywhere in a file."""
    return any(
        binding.kind != "import" or binding.origin != "argosy"
        for scope in view.module_scope.walk()
        for binding in scope.bindings.get("argosy", ())
    )
