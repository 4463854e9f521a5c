"""Imports of names that nothing uses any more, since what the rewrites took away was all that did.

They go where nobody can miss them. What was unused before the refit is not its business.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from argosy.refit.rewrite.change import Change, Removed, Replaced, place_of
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import Imported, View
from argosy.source.modules import is_standard
from argosy.source.scopes import Scope


class Leftover(msgspec.Struct, frozen=True, order=True):
    """An imported name that nothing uses since the refit, and why it stays all the same."""

    path: str
    line: int
    name: str
    reason: str


class Leftovers(msgspec.Struct, frozen=True):
    """What becomes of the imports that the rewrites of a file left without a use.

    gone: the names that the changes take away; they have no reason to stay.
    """

    changes: tuple[Change, ...]
    gone: tuple[Leftover, ...]
    kept: tuple[Leftover, ...]


def plan_leftovers(before: View, after: View, index: Index) -> Leftovers:
    """Return which imports of a rewritten file go with what used them.

    before: the file as it was. after: as the rewrites made it.
    """
    lost = _used(before) - _used(after)
    changes: list[Change] = []
    every: list[Leftover] = []
    for statement, scope in _imports(after):
        gone = set()
        for alias in statement.names:
            name = alias.asname or alias.name.partition(".")[0]
            if (scope.qualified_name(), name) in lost:
                reason = _reason(after, index, statement, scope, name)
                every.append(Leftover(after.path, statement.lineno, name, reason))
                gone |= set() if reason else {alias}
        if gone:
            changes.append(_without(statement, gone))
    kept = tuple(item for item in every if item.reason)
    return Leftovers(tuple(changes), tuple(item for item in every if not item.reason), kept)


def _without(statement: Imported, gone: Collection[ast.alias]) -> Change:
    left = [alias for alias in statement.names if alias not in gone]
    if not left:
        return Removed(place_of(statement))
    if isinstance(statement, ast.Import):
        new: ast.stmt = ast.Import(left)
    else:
        new = ast.ImportFrom(statement.module, left, statement.level)
    return Replaced(place_of(statement), ast.unparse(statement), ast.unparse(new))


def _imports(view: View) -> Iterator[tuple[Imported, Scope]]:
    """Yield the imports of modules, classes and functions, each with the scope that it binds names in."""
    yield from view.file.nodes(ast.Import)
    yield from view.file.nodes(ast.ImportFrom)


def _used(view: View) -> set[tuple[str, str]]:
    """Return the names that are used, each with the scope that binds it."""
    return {
        (owner.qualified_name(), use.name)
        for scope in view.module.walk()
        for use in scope.uses
        if (owner := scope.owner_of(use.name)) is not None
    }


def _reason(view: View, index: Index, statement: Imported, scope: Scope, name: str) -> str:
    """Return why an unused name is imported all the same; empty where the import may go."""
    around = view.parents[statement]
    if not isinstance(around, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
        return "its import stands in a block of its own, which may ask whether it succeeds"
    if len(scope.bindings.get(name, ())) != 1:
        return "something else binds the name as well"
    if not _is_quiet(statement):
        return "loading its module may do more than to give the name"
    if len(view.block(statement)) == 1:
        return "nothing else stands beside it"
    if _shares_lines(view, statement):
        return "a comment or another statement stands on its line"
    if _is_named(view, name):
        return "a text or a comment names it"
    return _taker(view, index, name) if scope is view.module else ""


def _is_quiet(statement: Imported) -> bool:
    """Return whether nothing is lost by not loading: pyzmq, which argosy loads, or a module of Python's."""
    modules = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        modules = [] if statement.level else [statement.module or ""]
    return bool(modules) and all(_is_quiet_module(module) for module in modules)


def _is_quiet_module(module: str) -> bool:
    return module == "zmq" or (is_standard(module.partition(".")[0]) and module not in _LOUD)


# They do something when they are loaded.
_LOUD: Final = frozenset({"antigravity", "rlcompleter", "this", "readline"})


def _shares_lines(view: View, statement: Imported) -> bool:
    lines = view.file.lines[statement.lineno - 1 : statement.end_lineno]
    text = "\n".join(lines)
    if "#" in text or "\\" in text or ";" in text:
        return True
    return bool(lines[0].encode("utf-8", "replace")[: statement.col_offset].strip(b" \t"))


def _is_named(view: View, name: str) -> bool:
    """Return whether a text of a file, or the comment that is a type, may mean a name of it."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    if view.module.is_dynamic or re.search(rf"#\s*type:.*\b{re.escape(name)}\b", view.file.text):
        return True
    return any(
        isinstance(text.value, str) and word.search(text.value) and not _is_remark(view, text)
        for text in view.indexed(ast.Constant)
    )


def _is_remark(view: View, text: ast.Constant) -> bool:
    """Return whether a text is a statement of its own, such as a docstring."""
    return isinstance(view.parents[text], ast.Expr)


def _taker(view: View, index: Index, name: str) -> str:
    """Return why a name of a module stays for those who may take it from there; empty for nobody."""
    if view.path.endswith("__init__.py"):
        return "it is a package's, for others to take"
    if where := index.importer(view.path, name):
        return f"`{where}` imports it from here"
    if where := index.asker(view.path, name):
        return f"`{where}` asks this module for it"
    return ""
