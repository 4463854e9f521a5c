"""Finds where a file takes the class of contexts from pyzmq: by an import, a stored module, or a string.

It may also come from another module that re-exports it; then it is known by that module's name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis import pyzmq_names
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.module_finder import is_standard
from argosy.source.name_scopes import NameScope


def find_context_names(file: PythonFile) -> Iterator[tuple[ast.expr, NameScope, str, bool]]:
    """Yield each expression that takes the class from pyzmq: its scope, its full name, whether it is sure."""
    data = file.source.data
    if b"Context" not in data or b"zmq" not in data:
        return
    modules = PyzmqModules(file)
    for node, scope in file.nodes(ast.Attribute):
        if node.attr == "Context":
            if (found := pyzmq_names.resolve_name(file, node, scope)) is not None:
                yield node, scope, *found
            elif module := modules.resolve(node.value, scope):
                yield node, scope, f"{module}.Context", False
    if names := _imported_names(file):
        yield from _find_by_import(file, names)
    if b'"Context"' in data or b"'Context'" in data:
        yield from _find_by_text(file, modules)


def find_foreign_context_names(file: PythonFile) -> Iterator[tuple[ast.expr, NameScope, str, bool]]:
    """Yield each expression that takes some `Context` from a module that is neither pyzmq nor standard.

    As `find_context_names`; the full name is such as `mine.compat.zmq.Context`, with dots for a relative
    import.
    """
    if b"Context" not in file.source.data:
        return
    for node, scope in file.nodes(ast.Attribute):
        if node.attr == "Context" and (origin := _foreign_origin(file, node, scope)):
            yield node, scope, origin, False
    names = {
        alias.asname or alias.name
        for statement, _ in file.nodes(ast.ImportFrom)
        for alias in statement.names
        if alias.name == "Context"
    }
    for scope in file.scope.walk() if names else ():
        for use in scope.uses:
            if use.name in names and use.is_evaluated and (origin := _foreign_origin(file, use.node, scope)):
                yield use.node, scope, origin, False


def _foreign_origin(file: PythonFile, node: ast.expr, scope: NameScope) -> str:
    origin = file.origin(node, scope)
    if origin is None or not origin.name.endswith(".Context"):
        return ""
    top_module = origin.name.partition(".")[0]
    return "" if top_module == "zmq" or is_standard(top_module) else origin.name


def find_reexports(file: PythonFile) -> dict[str, str]:
    """Return the names through which a module re-exports pyzmq, its class, or another module.

    By name in the module: what an import binds it to, such as `zmq`, `zmq.Context`, `mine.zmq`.
    """
    reexports: dict[str, str] = {}
    for name in file.imported_names & file.scope.bindings.keys():
        origins = [binding.origin for binding in file.scope.bindings[name] if binding.origin]
        pyzmq_origins = [origin for origin in origins if origin == "zmq" or origin.startswith("zmq.")]
        if pyzmq_origins and pyzmq_origins[0].rpartition(".")[2] in ("zmq", "Context", "asyncio", "green"):
            reexports[name] = pyzmq_origins[0]
        elif origins and origins[0].rpartition(".")[2] in ("zmq", "Context"):
            reexports[name] = origins[0]
    return reexports


def _find_by_import(file: PythonFile, names: set[str]) -> Iterator[tuple[ast.expr, NameScope, str, bool]]:
    for scope in file.scope.walk():
        for use in scope.uses:
            if use.name in names and use.is_evaluated:
                found = pyzmq_names.resolve_name(file, use.node, scope)
                if found is not None and found[0].endswith(".Context"):
                    yield use.node, scope, *found


def _imported_names(file: PythonFile) -> set[str]:
    """Return the names that an import may bind to the class."""
    found = {"Context"} if file.scope.has_star else set()
    for node, _ in file.nodes(ast.ImportFrom):
        if (node.module or "").partition(".")[0] == "zmq" and not node.level:
            found.update(alias.asname or alias.name for alias in node.names if alias.name == "Context")
    return found


def _find_by_text(file: PythonFile, modules: PyzmqModules) -> Iterator[tuple[ast.expr, NameScope, str, bool]]:
    """Yield `getattr(zmq, "Context")`, `vars(zmq)["Context"]` and `zmq.__dict__["Context"]`."""
    for text, scope in file.nodes(ast.Constant):
        parent = file.parent(text) if text.value == "Context" else None
        module_node: ast.expr | None = None
        if isinstance(parent, ast.Call) and dotted_name(parent.func) == "getattr":
            module_node = parent.args[0] if len(parent.args) > 1 and parent.args[1] is text else None
        elif isinstance(parent, ast.Subscript) and parent.slice is text:
            module_node = _namespace_of(parent.value)
        if module_node is not None and (module := modules.resolve(module_node, scope)):
            assert isinstance(parent, ast.expr)
            yield parent, scope, f"{module}.Context", False


def _namespace_of(node: ast.expr) -> ast.expr | None:
    """Return the `zmq` of `vars(zmq)` and of `zmq.__dict__`."""
    if isinstance(node, ast.Attribute):
        return node.value if node.attr == "__dict__" else None
    is_vars = isinstance(node, ast.Call) and dotted_name(node.func) == "vars" and len(node.args) == 1
    return node.args[0] if is_vars else None  # type: ignore[attr-defined]


class PyzmqModules:
    """What stands for a module of pyzmq in a file, besides names bound by imports."""

    def __init__(self, file: PythonFile) -> None:
        self.file = file
        self._resolved: dict[ast.expr, str] = {}
        self._assigned: dict[tuple[int, str], list[tuple[ast.expr, NameScope]]] | None = None

    def resolve(self, node: ast.expr, scope: NameScope) -> str:
        """Return the module of pyzmq that `node` may be, such as `zmq.asyncio`; else empty."""
        if isinstance(node, ast.Call):
            return self._dynamic_import(node, scope)
        if isinstance(node, ast.Subscript):
            origin = self.file.origin(node.value, scope)
            return _literal_module(node.slice) if origin is not None and origin.name == "sys.modules" else ""
        if not isinstance(node, ast.Name | ast.Attribute):
            return ""
        origin = self.file.origin(node, scope)
        if origin is not None and _is_pyzmq_module(origin.name):
            return origin.name
        if isinstance(node, ast.Attribute) and (module := self.resolve(node.value, scope)):
            return f"{module}.{node.attr}"
        return self._stored_module(node, scope)

    def _dynamic_import(self, call: ast.Call, scope: NameScope) -> str:
        """Return the module that `__import__("zmq")` or `importlib.import_module("zmq")` imports."""
        if not call.args:
            return ""
        module = _literal_module(call.args[0])
        if not module:
            return ""
        if dotted_name(call.func) == "__import__":
            return "zmq"
        origin = self.file.origin(call.func, scope)
        return module if origin is not None and origin.name == "importlib.import_module" else ""

    def _stored_module(self, node: ast.Name | ast.Attribute, scope: NameScope) -> str:
        """Return the module that a name or an attribute of self is assigned."""
        if node in self._resolved:
            return self._resolved[node]
        self._resolved[node] = ""  # ends the recursion of a name assigned to itself
        if isinstance(node, ast.Name):
            key = (id(scope.owner_of(node.id)), node.id)
        elif dotted_name(node.value) in ("self", "cls"):
            key = (0, node.attr)
        else:
            return ""
        found = (self.resolve(value, at) for value, at in self._assigned_values().get(key, ()))
        self._resolved[node] = next(filter(None, found), "")
        return self._resolved[node]

    def _assigned_values(self) -> dict[tuple[int, str], list[tuple[ast.expr, NameScope]]]:
        """Return the assigned values by (id of the scope, name); attributes of self have 0 for the scope."""
        if self._assigned is None:
            self._assigned = {}
            for target, value, scope in self._assignments():
                if isinstance(target, ast.Name):
                    keys = [(id(scope.owner_of(target.id)), target.id)]
                    keys += [(0, target.id)] if scope.kind == "class" else []
                elif isinstance(target, ast.Attribute) and dotted_name(target.value) in (
                    "self",
                    "cls",
                ):
                    keys = [(0, target.attr)]
                else:
                    continue
                for key in keys:
                    self._assigned.setdefault(key, []).append((value, scope))
        return self._assigned

    def _assignments(self) -> Iterator[tuple[ast.expr, ast.expr, NameScope]]:
        for node, scope in self.file.nodes(ast.Assign):
            yield from ((target, node.value, scope) for target in node.targets)
        for annotated, scope in self.file.nodes(ast.AnnAssign):
            if annotated.value is not None:
                yield annotated.target, annotated.value, scope


def _literal_module(node: ast.expr) -> str:
    text = node.value if isinstance(node, ast.Constant) else None
    return text if isinstance(text, str) and _is_pyzmq_module(text) else ""


def _is_pyzmq_module(name: str) -> bool:
    return name == "zmq" or name.startswith("zmq.")
