"""Checks whether a module uses a package only after checking that a device is available.

`if torch.cuda.is_available(): torch.cuda.empty_cache()` needs neither the package nor the device on a machine
without one. Every use of the name in the module must be such a check, or run only if one returned true: in
the body of an `if`, in a conditional expression, or after an `and`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.agent.missing_packages import DEVICE_CHECKS
from argosy.refit.repair.name_resolution.module_view import ModuleView


def is_guarded_by_device_check(view: ModuleView, name: str, path: str) -> bool:
    """Return whether every use of a name that stands for the module or name `path` is guarded.

    False for a name without uses, which other modules may import, and if the file imports the package a
    second time: that import fails by itself.
    """
    if len(list(_imports_of_package(view, path.partition(".")[0]))) != 1:
        return False
    uses = list(_evaluated_uses(view, name))
    return bool(uses) and all(
        _is_device_check(use, view, name, path) or _is_guarded(use, view, name, path) for use in uses
    )


def _imports_of_package(view: ModuleView, top: str) -> Iterator[ast.stmt]:
    for node in ast.walk(view.parsed.tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        else:
            continue
        if any(module.partition(".")[0] == top for module in modules):
            yield node


def _evaluated_uses(view: ModuleView, name: str) -> Iterator[ast.Name]:
    for scope in view.scope.walk():
        for use in scope.uses:
            if use.name == name and use.is_evaluated and scope.owner_of(name) is view.scope:
                yield use.node


def _is_device_check(use: ast.expr, view: ModuleView, name: str, path: str) -> bool:
    """Return whether a use is part of a device check that is called."""
    node: ast.expr = use
    while isinstance(parent := view.parents[node], ast.Attribute):
        node = parent
    return isinstance(parent, ast.Call) and parent.func is node and _calls_device_check(parent, name, path)


def _calls_device_check(node: ast.expr, name: str, path: str) -> bool:
    """Return whether an expression is the call of a device check, without arguments."""
    if not isinstance(node, ast.Call) or node.args or node.keywords:
        return False
    attributes: list[str] = []
    function = node.func
    while isinstance(function, ast.Attribute):
        attributes.insert(0, function.attr)
        function = function.value
    return (
        isinstance(function, ast.Name)
        and function.id == name
        and ".".join([path, *attributes]) in DEVICE_CHECKS
    )


def _is_guarded(use: ast.AST, view: ModuleView, name: str, path: str) -> bool:
    """Return whether a use is reached only after a device check returned true."""
    node = use
    while (parent := view.parents.get(node)) is not None:
        if isinstance(parent, ast.If) and node in parent.body and _implies_device(parent.test, name, path):
            return True
        if isinstance(parent, ast.IfExp) and node is parent.body and _implies_device(parent.test, name, path):
            return True
        if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.And):
            before = parent.values[: parent.values.index(node)] if isinstance(node, ast.expr) else []
            if any(_implies_device(each, name, path) for each in before):
                return True
        node = parent
    return False


def _implies_device(test: ast.expr, name: str, path: str) -> bool:
    """Return whether a condition can be true only if a device check returned true."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(_implies_device(each, name, path) for each in test.values)
    return _calls_device_check(test, name, path)
