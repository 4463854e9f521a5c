"""The scopes of one module as data: bindings and uses of names. Built by `binder`."""

from __future__ import annotations

import ast
import builtins
import sys
import weakref
from collections.abc import Iterator
from typing import Literal

import msgspec

from argosy.source import control_flow

ScopeKind = Literal["module", "function", "class", "comprehension", "parameters"]
BindingKind = Literal["import", "def", "class", "assignment", "parameter", "delete"]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# Bound in every module, on some platforms, or by convention (gettext installs `_`).
PREDEFINED_NAMES = frozenset(dir(builtins)) | {
    "__annotations__",
    "__builtins__",
    "__cached__",
    "__dict__",
    "__file__",
    "__path__",
    "WindowsError",
    "_",
}


class Binding(msgspec.Struct, frozen=True):
    """One binding of a name. origin: the imported name, such as `zmq.Context` or `.near.thing`."""

    kind: BindingKind
    line: int
    origin: str = ""


class NameUse(msgspec.Struct, frozen=True):
    """One use of a name. is_evaluated: false in an annotation that is not evaluated."""

    name: str
    node: ast.Name
    is_evaluated: bool


class NameScope:
    """A scope. Filled by `binder.find_scopes`, then read-only.

    It references its parent weakly, so that a tree is freed with its module's scope.

    bindings: by name, as in Python: after `global x` an assignment belongs to the module.
    has_star, is_dynamic (module only): names may be bound by a star import, or by exec or globals().
    """

    __slots__ = (
        "__weakref__",
        "_parent",
        "bindings",
        "children",
        "global_names",
        "has_star",
        "is_dynamic",
        "kind",
        "name",
        "node",
        "nonlocal_names",
        "uses",
    )

    def __init__(self, kind: ScopeKind, name: str, node: ast.AST, parent: NameScope | None) -> None:
        self.kind = kind
        self.name = name
        self.node = node
        self._parent = None if parent is None else weakref.ref(parent)
        self.children: list[NameScope] = []
        self.bindings: dict[str, list[Binding]] = {}
        self.uses: list[NameUse] = []
        self.global_names: set[str] = set()
        self.nonlocal_names: set[str] = set()
        self.has_star = False
        self.is_dynamic = False
        if parent is not None:
            parent.children.append(self)

    @property
    def parent(self) -> NameScope | None:
        """The scope around this one; None for the module."""
        return None if self._parent is None else self._parent()

    def walk(self) -> Iterator[NameScope]:
        """Yield this scope and all nested ones."""
        todo = [self]
        while todo:
            scope = todo.pop()
            yield scope
            todo.extend(reversed(scope.children))

    def qualified_name(self) -> str:
        """Return the qualified name, such as `Translator.start`; empty for the module."""
        parts: list[str] = []
        scope: NameScope | None = self
        while scope is not None and scope.parent is not None:
            if scope.kind in ("function", "class"):
                parts.append(scope.name)
            scope = scope.parent
        return ".".join(reversed(parts))

    def is_in_function(self) -> bool:
        """Return whether this scope runs only when a function is called."""
        scope: NameScope | None = self
        while scope is not None:
            if scope.kind == "function":
                return True
            scope = scope.parent
        return False

    def owner_of(self, name: str) -> NameScope | None:
        """Return the scope that `name` resolves to here; None if no scope of the module binds it."""
        scope: NameScope | None = self
        while scope is not None and scope.parent is not None:
            if name in scope.global_names:
                break
            is_seen = scope is self or scope.kind != "class"
            if is_seen and name in scope.bindings and name not in scope.nonlocal_names:
                return scope
            scope = scope.parent
        while scope is not None and scope.parent is not None:
            scope = scope.parent
        return scope if scope is not None and name in scope.bindings else None


def has_lazy_annotations(tree: ast.Module) -> bool:
    """Return whether annotations are not evaluated, by PEP 563 in this file or PEP 649 in this Python."""
    return sys.version_info >= (3, 14) or any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


class ImportOrigin(msgspec.Struct, frozen=True):
    """The import that an expression refers to.

    name: the full dotted name, such as `zmq.Context`; with leading dots for a relative import.
    is_only_binding: the name has no other binding, so that it always means this if it is bound at all.
    """

    name: str
    is_only_binding: bool


def find_import_origin(node: ast.expr, scope: NameScope) -> ImportOrigin | None:
    """Return the import of a name or a dotted name in `scope`; None if no import binds it.

    Also returns None if imports of different things bind the name, because it is then ambiguous.
    """
    dotted = control_flow.dotted_name(node)
    if not dotted:
        return None
    first, _, rest = dotted.partition(".")
    owner = scope.owner_of(first)
    if owner is None:
        return None
    bindings = owner.bindings[first]
    origins = {binding.origin for binding in bindings if binding.origin}
    if len(origins) != 1:
        return None
    origin = origins.pop()
    return ImportOrigin(f"{origin}.{rest}" if rest else origin, all(binding.origin for binding in bindings))
