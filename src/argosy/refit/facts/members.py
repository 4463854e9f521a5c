"""What a class reads on `self` and does not set: attributes that somebody else has to set, or nobody does."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source import flow
from argosy.source.nodes import children
from argosy.source.scopes import Scope


class Read(msgspec.Struct, frozen=True, array_like=True):
    """An attribute that is read on self and that the class neither sets nor defines; its first place."""

    name: str
    line: int
    column: int
    method: str


class Members(msgspec.Struct, frozen=True, array_like=True):
    """One class, by its own text.

    has: what it sets on self or defines. reads: what it only reads, each name once for a method. calls: by
    method, the other methods that it names on self. is_open: anything may be set on it (`setattr` with a
    name that is not told, `__getattr__`, a metaclass, an unknown decorator).
    """

    has: tuple[str, ...]
    reads: tuple[Read, ...]
    calls: dict[str, tuple[str, ...]]
    is_open: bool


class FileMembers(msgspec.Struct, frozen=True, array_like=True):
    """The classes of a file by qualified name, and the attributes that it sets on anything but self."""

    classes: dict[str, Members]
    set_outside: tuple[str, ...]


_PLAIN = frozenset({"dataclass", "final", "runtime_checkable", "total_ordering"})
_ASKS = frozenset({"hasattr", "getattr", "setattr", "delattr", "vars"})


def collect(file: PythonFile) -> FileMembers | None:
    classes: dict[str, Members] = {}
    methods = _Methods(file).found
    for node, scope in file.nodes(ast.ClassDef):
        name = ".".join(filter(None, [scope.qualified_name(), node.name]))
        classes[name] = _members(file, node, methods.get(node, []))
    outside = {
        node.attr
        for node, _ in file.nodes(ast.Attribute)
        if isinstance(node.ctx, ast.Store) and not _is_self(node.value)
    }
    outside |= {name for node, _ in file.nodes(ast.Call) if (name := _set_by_name(node))}
    return FileMembers(classes, tuple(sorted(outside))) if classes or outside else None


class _Method:
    """What one method does with its object, which it calls `first`.

    attributes, calls: the nodes that stand in it, with what is nested in it but for other classes.
    """

    def __init__(self, name: str, first: str) -> None:
        self.name = name
        self.first = first
        self.attributes: list[ast.Attribute] = []
        self.calls: list[ast.Call] = []


class _Methods:
    """The methods of a file. found: by class, those that use their object, in the order of the source."""

    def __init__(self, file: PythonFile) -> None:
        self.found: dict[ast.AST, list[_Method]] = {}
        self._of: dict[Scope, _Method | None] = {}
        for attribute, scope in file.nodes(ast.Attribute):
            if type(attribute.value) is ast.Name:
                method = self.of(scope)
                if method is not None and attribute.value.id == method.first:
                    method.attributes.append(attribute)
        for call, scope in file.nodes(ast.Call):
            if type(call.func) is ast.Name and call.func.id in _ASKS:
                method = self.of(scope)
                if method is not None:
                    method.calls.append(call)

    def of(self, scope: Scope) -> _Method | None:
        """Return the method that a scope is or is in, where its object has the name that it has there."""
        if scope not in self._of:
            self._of[scope] = self._made(scope)
        return self._of[scope]

    def _made(self, scope: Scope) -> _Method | None:
        around, node = scope.parent, scope.node
        while around is not None and around.kind == "parameters":
            around = around.parent
        if around is None or scope.kind in ("class", "parameters"):
            return None
        if around.kind != "class":
            outer = self.of(around)
            return None if outer is None or _takes(node, outer.first) else outer
        first = _self_of(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""
        if not first:
            return None
        method = _Method(scope.name, first)
        self.found.setdefault(around.node, []).append(method)
        return method


def _members(file: PythonFile, cls: ast.ClassDef, methods: list[_Method]) -> Members:
    has = set(_defined(cls))
    # The last place in the first method of a name, for each attribute.
    reads: dict[tuple[str, str], tuple[ast.Attribute, _Method]] = {}
    calls: dict[str, set[str]] = {}
    asked: set[str] = set()
    is_open = bool(cls.keywords) or not all(_is_plain(item) for item in cls.decorator_list)
    for method in methods:
        for call in method.calls:
            names = _asked(call, method.first)
            is_open |= names is None
            asked |= names or set()
        for node in method.attributes:
            is_open |= node.attr == "__dict__"
            if not isinstance(node.ctx, ast.Load):
                has.add(node.attr)
                continue
            calls.setdefault(method.name, set()).add(node.attr)
            held = reads.get((node.attr, method.name))
            if held is None or held[1] is method:
                reads[node.attr, method.name] = node, method
    is_open |= bool({"__getattr__", "__getattribute__", "__slots__"} & has)
    left = [
        Read(name, node.lineno, file.parsed.column(node), method)
        for (name, method), (node, _) in sorted(reads.items(), key=lambda item: item[0])
        if name not in has and name not in asked
    ]
    own = {name: tuple(sorted(named & has)) for name, named in sorted(calls.items()) if named & has}
    return Members(tuple(sorted(has | asked)), tuple(left), own, is_open)


def _self_of(method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return what a method calls its object; empty for a static method."""
    every = [*method.args.posonlyargs, *method.args.args]
    is_static = any(flow.dotted(item).endswith("staticmethod") for item in method.decorator_list)
    return every[0].arg if every and not is_static else ""


def _takes(node: ast.AST, name: str) -> bool:
    """Return whether this is a function with a parameter of that name."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    return any(item.arg == name for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))


def _defined(cls: ast.ClassDef) -> Iterator[str]:
    """Yield the names that a class body binds, under conditions too."""
    todo: list[ast.AST] = list(cls.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        else:
            todo += children(node)


def _is_plain(decorator: ast.expr) -> bool:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")) in _PLAIN


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _asked(node: ast.Call, first: str) -> set[str] | None:
    """Return the names that a call asks of or sets on self by name; None where it may be any."""
    called = node.func.id if isinstance(node.func, ast.Name) else ""
    if called not in _ASKS or not node.args or not _is_name(node.args[0], first):
        return set()
    told = node.args[1] if len(node.args) > 1 else None
    if isinstance(told, ast.Constant):
        return {str(told.value)}
    return set() if called in ("hasattr", "getattr") else None


def _set_by_name(node: ast.Call) -> str:
    """Return the name that a `setattr` or `patch.object` sets, where it is told."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    told = node.args[1] if called in ("setattr", "object") and len(node.args) > 1 else None
    return str(told.value) if isinstance(told, ast.Constant) and isinstance(told.value, str) else ""


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


MEMBERS = FactKind("members", FileMembers, collect)
