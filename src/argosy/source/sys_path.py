"""Finds the folders that a script adds to sys.path, by static evaluation.

Evaluates only the usual expressions (`os.path.join(os.path.dirname(__file__), "..")`,
`str(Path(__file__).resolve().parent)`, and names assigned from such).
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable

import msgspec

from argosy.source import control_flow
from argosy.source.python_parser import Parsed
from argosy.source.python_source import find_marked_lines

_ADDITION_PATTERNS = (re.compile(rb"sys\.path"), re.compile(b"addsitedir"))


class PathAdditions(msgspec.Struct, frozen=True):
    """Folders that a file adds to sys.path. is_complete: all of them could be evaluated."""

    folders: tuple[str, ...] = ()
    is_complete: bool = True


def find_path_additions(parsed: Parsed) -> PathAdditions:
    """Return the folders that a file adds to sys.path, anywhere in it."""
    marks = find_marked_lines(parsed.source.data, *_ADDITION_PATTERNS)
    if not marks:
        return PathAdditions()
    values = _module_values(parsed.tree)
    folders: list[str] = []
    is_complete = True
    for node in control_flow.marked_statements(parsed.tree.body, marks):
        for item in _added_expressions(node):
            folder = _evaluate(item, os.path.abspath(parsed.path), values, 0) if item is not None else None
            if folder is None:
                is_complete = False
            else:
                folders.append(os.path.normpath(folder))
    return PathAdditions(tuple(dict.fromkeys(folders)), is_complete)


def _added_expressions(node: ast.stmt) -> list[ast.expr | None]:
    """Return the expressions that `node` adds to sys.path; None for one that cannot be evaluated."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return _expressions_added_by_call(node.value)
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(_is_sys_path(target) for target in targets):
            return _elements(node.value)
    return []


def _expressions_added_by_call(call: ast.Call) -> list[ast.expr | None]:
    name = control_flow.dotted_name(call.func)
    if name in ("sys.path.insert", "sys.path.append", "site.addsitedir"):
        return [call.args[-1] if call.args else None]
    if name == "sys.path.extend":
        return _elements(call.args[0]) if call.args else [None]
    return []


def _is_sys_path(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        node = node.value
    return control_flow.dotted_name(node) == "sys.path"


def _elements(node: ast.expr) -> list[ast.expr | None]:
    if isinstance(node, ast.List | ast.Tuple):
        return list(node.elts)
    if isinstance(node, ast.BinOp):
        return [*_elements(node.left), *_elements(node.right)]
    return [] if control_flow.dotted_name(node) == "sys.path" else [None]


def _module_values(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the values of names that are assigned exactly once at module level."""
    values: dict[str, list[ast.expr]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
    return {name: found[0] for name, found in values.items() if len(found) == 1}


def _evaluate(node: ast.expr, file: str, values: dict[str, ast.expr], depth: int) -> str | None:
    """Return the path that `node` evaluates to in `file`; None for an unsupported expression."""
    if depth > 20:
        return None

    def evaluate(inner: ast.expr) -> str | None:
        return _evaluate(inner, file, values, depth + 1)

    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return file if node.id == "__file__" else evaluate(values[node.id]) if node.id in values else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = evaluate(node.left), evaluate(node.right)
        return None if left is None or right is None else os.path.join(left, right)
    if isinstance(node, ast.Attribute):
        folder = evaluate(node.value) if node.attr == "parent" else None
        return None if folder is None else os.path.dirname(folder)
    if isinstance(node, ast.Subscript):
        return _evaluate_ancestor(node, evaluate)
    return _evaluate_call(node, evaluate) if isinstance(node, ast.Call) else None


def _evaluate_ancestor(node: ast.Subscript, evaluate: Callable[[ast.expr], str | None]) -> str | None:
    """Evaluate `PATH.parents[2]`."""
    if not (isinstance(node.value, ast.Attribute) and node.value.attr == "parents"):
        return None
    folder, index = evaluate(node.value.value), node.slice
    if folder is None or not isinstance(index, ast.Constant) or not isinstance(index.value, int):
        return None
    for _ in range(index.value + 1):
        folder = os.path.dirname(folder)
    return folder


_PATH_WRAPPERS = frozenset({"str", "Path", "pathlib.Path", "os.fspath", "PurePath"})
_NORMALIZERS = frozenset({"abspath", "realpath", "normpath"})
_PATH_METHODS = frozenset({"resolve", "absolute", "as_posix", "expanduser"})


def _evaluate_call(node: ast.Call, evaluate: Callable[[ast.expr], str | None]) -> str | None:
    name = control_flow.dotted_name(node.func)
    last = name.rpartition(".")[2]
    if name.endswith(("path.join", "joinpath")) or (last == "join" and name.startswith("os.")):
        parts = [evaluate(item) for item in node.args]
        known = [part for part in parts if part is not None]
        return os.path.join(*known) if known and len(known) == len(parts) else None
    if len(node.args) == 1 and (name in _PATH_WRAPPERS or last in _NORMALIZERS or last == "dirname"):
        inner = evaluate(node.args[0])
        if inner is None or name in _PATH_WRAPPERS:
            return inner
        return os.path.dirname(inner) if last == "dirname" else os.path.normpath(inner)
    if isinstance(node.func, ast.Attribute) and node.func.attr in _PATH_METHODS and not node.args:
        return evaluate(node.func.value)
    return None
