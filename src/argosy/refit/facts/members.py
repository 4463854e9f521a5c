"""What a class reads on `self` and does not set: attributes that somebody else has to set, or nobody does."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source import flow
from argosy.source.nodes import children


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
    for node, scope in file.nodes(ast.ClassDef):
        name = ".".join(filter(None, [scope.qualified_name(), node.name]))
        classes[name] = _members(file, node)
    outside = {
        node.attr
        for node, _ in file.nodes(ast.Attribute)
        if isinstance(node.ctx, ast.Store) and not _is_self(node.value)
    }
    outside |= {name for node, _ in file.nodes(ast.Call) if (name := _set_by_name(node))}
    return FileMembers(classes, tuple(sorted(outside))) if classes or outside else None


def _members(file: PythonFile, cls: ast.ClassDef) -> Members:
    has = set(_defined(cls))
    reads: dict[tuple[str, str], Read] = {}
    calls: dict[str, set[str]] = {}
    asked: set[str] = set()
    is_open = bool(cls.keywords) or not all(_is_plain(item) for item in cls.decorator_list)
    for method in _methods(cls.body):
        first = _self_of(method)
        for node in _own_nodes(method, first):
            if isinstance(node, ast.Call):
                names = _asked(node, first)
                is_open |= names is None
                asked |= names or set()
            elif isinstance(node, ast.Attribute) and _is_name(node.value, first):
                is_open |= node.attr == "__dict__"
                if not isinstance(node.ctx, ast.Load):
                    has.add(node.attr)
                    continue
                calls.setdefault(method.name, set()).add(node.attr)
                place = Read(node.attr, node.lineno, file.parsed.column(node), method.name)
                reads.setdefault((node.attr, method.name), place)
    is_open |= bool({"__getattr__", "__getattribute__", "__slots__"} & has)
    left = [item for (name, _), item in sorted(reads.items()) if name not in has and name not in asked]
    own = {name: tuple(sorted(named & has)) for name, named in sorted(calls.items()) if named & has}
    return Members(tuple(sorted(has | asked)), tuple(left), own, is_open)


def _self_of(method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return what a method calls its object; empty for a static method."""
    every = [*method.args.posonlyargs, *method.args.args]
    is_static = any(flow.dotted(item).endswith("staticmethod") for item in method.decorator_list)
    return every[0].arg if every and not is_static else ""


def _own_nodes(method: ast.AST, first: str) -> Iterator[ast.AST]:
    """Yield the nodes of a method in which `first` is its object: not those of classes in it."""
    todo = children(method) if first else []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ClassDef):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            bound = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if any(item.arg == first for item in bound):
                continue
        yield node
        todo += children(node)


def _methods(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from _methods([item for item in ast.iter_child_nodes(node) if isinstance(item, ast.stmt)])


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
            todo += ast.iter_child_nodes(node)


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
