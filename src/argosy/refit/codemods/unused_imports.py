"""Removes imports of names that nothing uses after a rewrite.

They are removed only if no other code can depend on them. Imports that were unused before are left alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.transaction.source_change import Change, Deletion, Replacement, position_of
from argosy.refit.transaction.source_view import ImportNode, SourceView
from argosy.source.module_finder import is_standard
from argosy.source.name_scopes import NameScope


class UnusedImport(msgspec.Struct, frozen=True, order=True):
    """An imported name that is unused after the refit, and why it is kept."""

    path: str
    line: int
    name: str
    reason: str


class UnusedImportPlan(msgspec.Struct, frozen=True):
    """The imports of a file that the codemods left unused.

    removed: the names that the changes remove; they have no reason. remaining: those that are kept.
    """

    changes: tuple[Change, ...]
    removed: tuple[UnusedImport, ...]
    remaining: tuple[UnusedImport, ...]


def plan_unused_imports(before: SourceView, after: SourceView, index: TreeIndex) -> UnusedImportPlan:
    """Return which imports of a rewritten file are removed.

    before: the original file. after: the file rewritten by the codemods.
    """
    newly_unused = _used_names(before) - _used_names(after)
    changes: list[Change] = []
    found: list[UnusedImport] = []
    for statement, scope in _imports_with_scope(after):
        removed_aliases = set()
        for alias in statement.names:
            name = alias.asname or alias.name.partition(".")[0]
            if (scope.qualified_name(), name) in newly_unused:
                reason = _reason_to_keep(after, index, statement, scope, name)
                found.append(UnusedImport(after.path, statement.lineno, name, reason))
                removed_aliases |= set() if reason else {alias}
        if removed_aliases:
            changes.append(_without_aliases(statement, removed_aliases))
    remaining = tuple(item for item in found if item.reason)
    return UnusedImportPlan(tuple(changes), tuple(item for item in found if not item.reason), remaining)


def _without_aliases(statement: ImportNode, removed: Collection[ast.alias]) -> Change:
    remaining = [alias for alias in statement.names if alias not in removed]
    if not remaining:
        return Deletion(position_of(statement))
    if isinstance(statement, ast.Import):
        new: ast.stmt = ast.Import(remaining)
    else:
        new = ast.ImportFrom(statement.module, remaining, statement.level)
    return Replacement(position_of(statement), ast.unparse(statement), ast.unparse(new))


def _imports_with_scope(view: SourceView) -> Iterator[tuple[ImportNode, NameScope]]:
    """Yield the imports of modules, classes and functions, each with the scope that it binds names in."""
    yield from view.python_file.nodes(ast.Import)
    yield from view.python_file.nodes(ast.ImportFrom)


def _used_names(view: SourceView) -> set[tuple[str, str]]:
    """Return the names that are used, each with the scope that binds it."""
    return {
        (owner.qualified_name(), use.name)
        for scope in view.module_scope.walk()
        for use in scope.uses
        if (owner := scope.owner_of(use.name)) is not None
    }


def _reason_to_keep(
    view: SourceView, index: TreeIndex, statement: ImportNode, scope: NameScope, name: str
) -> str:
    """Return why an unused import is kept; empty if it may be removed."""
    parent = view.parents[statement]
    if not isinstance(parent, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
        return "its import is in a block of its own, which may test whether it succeeds"
    if len(scope.bindings.get(name, ())) != 1:
        return "something else binds the name as well"
    if not _is_safe_to_drop(statement):
        return "importing its module may have side effects"
    if len(view.containing_block(statement)) == 1:
        return "it is the only statement of its block"
    if _shares_lines(view, statement):
        return "a comment or another statement is on its line"
    if _is_named_in_text(view, name):
        return "a string or a comment names it"
    return _external_user(view, index, name) if scope is view.module_scope else ""


def _is_safe_to_drop(statement: ImportNode) -> bool:
    """Return whether importing has no side effects: pyzmq, which argosy imports, or the standard library."""
    modules = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        modules = [] if statement.level else [statement.module or ""]
    return bool(modules) and all(_is_module_side_effect_free(module) for module in modules)


def _is_module_side_effect_free(module: str) -> bool:
    return module == "zmq" or (
        is_standard(module.partition(".")[0]) and module not in _MODULES_WITH_SIDE_EFFECTS
    )


# Importing them has side effects.
_MODULES_WITH_SIDE_EFFECTS: Final = frozenset({"antigravity", "rlcompleter", "this", "readline"})


def _shares_lines(view: SourceView, statement: ImportNode) -> bool:
    lines = view.python_file.lines[statement.lineno - 1 : statement.end_lineno]
    text = "\n".join(lines)
    if "#" in text or "\\" in text or ";" in text:
        return True
    return bool(lines[0].encode("utf-8", "replace")[: statement.col_offset].strip(b" \t"))


def _is_named_in_text(view: SourceView, name: str) -> bool:
    """Return whether a string or a type comment of a file may refer to a name."""
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    if view.module_scope.is_dynamic or re.search(rf"#\s*type:.*\b{re.escape(name)}\b", view.python_file.text):
        return True
    return any(
        isinstance(text.value, str) and pattern.search(text.value) and not _is_docstring(view, text)
        for text in view.nodes_of(ast.Constant)
    )


def _is_docstring(view: SourceView, text: ast.Constant) -> bool:
    """Return whether a string is a statement of its own, such as a docstring."""
    return isinstance(view.parents[text], ast.Expr)


def _external_user(view: SourceView, index: TreeIndex, name: str) -> str:
    """Return why a name of a module is kept for other files that may import it; empty if none does."""
    if view.path.endswith("__init__.py"):
        return "it is a package's export"
    if other_path := index.importing_file(view.path, name):
        return f"`{other_path}` imports it from here"
    if other_path := index.attribute_accessing_file(view.path, name):
        return f"`{other_path}` accesses it in this module"
    return ""
