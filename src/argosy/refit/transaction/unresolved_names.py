"""Finds names that nothing binds, by scope, with the symbol tables of the compiler."""

from __future__ import annotations

import ast
import importlib
import symtable
from collections.abc import Iterable, Iterator
from typing import Any

from argosy.source.binder import find_scopes
from argosy.source.name_scopes import PREDEFINED_NAMES, NameScope
from argosy.source.python_parser import Parsed
from argosy.source.use_before_def import find_uses_before_definition

try:  # a second check, installed with argosy[refit]
    _pyflakes_checker: Any = importlib.import_module("pyflakes.checker")
except ImportError:
    _pyflakes_checker = None

# Also defined in class bodies and their functions.
_PREDEFINED = PREDEFINED_NAMES | {
    "__class__",
    "__module__",
    "__qualname__",
    "__name__",
    "__doc__",
    "__spec__",
    "__loader__",
    "__package__",
}

UnresolvedNames = dict[str, set[str]]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def find_unresolved(text: str) -> UnresolvedNames:
    """Return by scope (`Translator.start`; empty for the module) the names read that nothing binds."""
    module = symtable.symtable(text, "<source>", "exec")
    bound = {symbol.get_name() for symbol in module.get_symbols() if _is_bound(symbol)}
    for table in _all_tables(module):
        if table is not module:
            bound |= {s.get_name() for s in table.get_symbols() if s.is_declared_global() and _is_bound(s)}
    known = bound | _PREDEFINED
    found: UnresolvedNames = {}
    for name, table in _tables_by_scope(module):
        read = {s.get_name() for s in table.get_symbols() if s.is_referenced() and _is_global(table, s)}
        found.setdefault(name, set()).update(read - known)
    return found


def find_read_before_bound(parsed: Parsed, module: NameScope, functions: set[str]) -> UnresolvedNames:
    """Return by scope the names that are read before they can be bound.

    functions: qualified names of the functions to check in addition to the module.
    """
    found = {"": {early.name for early in find_uses_before_definition(parsed, module, is_main=True)}}
    for scope in module.walk():
        name = scope.qualified_name()
        if scope.kind == "function" and name in functions and not isinstance(scope.node, ast.Lambda):
            assert isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef)
            inner = Parsed(parsed.source, ast.Module(scope.node.body, []), parsed.lines)
            early = find_uses_before_definition(inner, find_scopes(inner), is_main=False)
            found.setdefault(name, set()).update(item.name for item in early if item.bound_line)
    return found


def pyflakes_undefined(tree: ast.Module, unchanged_functions: Iterable[ast.AST] = ()) -> set[str]:
    """Return the names that pyflakes reports as undefined; empty when it is not installed.

    unchanged_functions: their bodies are not checked.
    """
    if _pyflakes_checker is None:
        return set()
    bodies = [
        (function, function.body) for function in unchanged_functions if isinstance(function, _FUNCTIONS)
    ]
    try:
        for function, body in bodies:
            function.body = [ast.copy_location(ast.Pass(), body[0])]
        messages = _pyflakes_checker.Checker(tree).messages
    finally:
        for function, body in bodies:
            function.body = body
    kinds = (_pyflakes_checker.messages.UndefinedName, _pyflakes_checker.messages.UndefinedLocal)
    return {str(message.message_args[0]) for message in messages if isinstance(message, kinds)}


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace() or symbol.is_parameter()


def _is_global(table: symtable.SymbolTable, symbol: symtable.Symbol) -> bool:
    if table.get_type() == "module":
        return not _is_bound(symbol)
    return symbol.is_global() or (
        table.get_type() == "class" and not _is_bound(symbol) and not symbol.is_free()
    )


def _all_tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    todo = [table]
    while todo:
        found = todo.pop()
        yield found
        todo += found.get_children()


def _tables_by_scope(module: symtable.SymbolTable) -> Iterator[tuple[str, symtable.SymbolTable]]:
    todo: list[tuple[str, symtable.SymbolTable]] = [("", module)]
    while todo:
        name, table = todo.pop()
        yield name, table
        todo += [(f"{name}.{child.get_name()}".lstrip("."), child) for child in table.get_children()]
