"""Names and where they are bound: the scopes of one module.

The tree is walked once with a stack of its own, so that a sum of a thousand terms is no
recursion. `symtable` knows the same scopes but no places within them, and would parse again;
the tests hold the two against each other.
"""

from __future__ import annotations

import ast
import builtins
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from argosy.source.parse import Parsed

Kind = Literal["module", "function", "class", "comprehension", "parameters"]
How = Literal["import", "def", "class", "assignment", "parameter", "delete"]
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Node = TypeVar("Node", bound=ast.AST)
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

# Bound in every module, or on some platform, or by a common habit (gettext installs `_`).
GIVEN = frozenset(dir(builtins)) | {
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
    """One place that binds a name. origin: what an import imports, as `zmq.Context` or `.near.thing`."""

    how: How
    line: int
    origin: str = ""


class Use(msgspec.Struct, frozen=True):
    """One place that reads a name. is_evaluated: false for an annotation that nobody computes."""

    name: str
    node: ast.Name
    is_evaluated: bool


class Scope:
    """A block of names. Filled by `find_scopes`, then only read.

    Holds its children, not its parent, so that a tree goes when its module's scope does.

    bindings: places by name, as Python sees them: after `global x` an assignment is the module's.
    has_star, is_dynamic (module only): names may come from a star import, or by exec or globals().
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

    def __init__(self, kind: Kind, name: str, node: ast.AST, parent: Scope | None) -> None:
        self.kind = kind
        self.name = name
        self.node = node
        self._parent = None if parent is None else weakref.ref(parent)
        self.children: list[Scope] = []
        self.bindings: dict[str, list[Binding]] = {}
        self.uses: list[Use] = []
        self.global_names: set[str] = set()
        self.nonlocal_names: set[str] = set()
        self.has_star = False
        self.is_dynamic = False
        if parent is not None:
            parent.children.append(self)

    @property
    def parent(self) -> Scope | None:
        """The scope around this one; None for the module."""
        return None if self._parent is None else self._parent()

    def walk(self) -> Iterator[Scope]:
        """Yield this scope and all within it."""
        todo = [self]
        while todo:
            scope = todo.pop()
            yield scope
            todo.extend(reversed(scope.children))

    def qualified_name(self) -> str:
        """Return such as `Translator.start`; empty for the module."""
        parts: list[str] = []
        scope: Scope | None = self
        while scope is not None and scope.parent is not None:
            if scope.kind in ("function", "class"):
                parts.append(scope.name)
            scope = scope.parent
        return ".".join(reversed(parts))

    def is_in_function(self) -> bool:
        """Return whether this scope runs only when a function is called."""
        scope: Scope | None = self
        while scope is not None:
            if scope.kind == "function":
                return True
            scope = scope.parent
        return False

    def owner_of(self, name: str) -> Scope | None:
        """Return the scope whose `name` a use here reads; None when no scope of the module binds it."""
        scope: Scope | None = self
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
    """Return whether no annotation is computed: by PEP 563 in this file, or by PEP 649 in this Python."""
    return sys.version_info >= (3, 14) or any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


# What readers of a whole file ask for; each kind costs every file a little.
INDEXED: tuple[type[ast.AST], ...] = (
    ast.AnnAssign,
    ast.Assign,
    ast.AsyncFunctionDef,
    ast.AsyncWith,
    ast.Attribute,
    ast.AugAssign,
    ast.BinOp,
    ast.Call,
    ast.ClassDef,
    ast.Compare,
    ast.Constant,
    ast.Delete,
    ast.Dict,
    ast.ExceptHandler,
    ast.For,
    ast.FunctionDef,
    ast.Import,
    ast.ImportFrom,
    ast.JoinedStr,
    ast.Lambda,
    ast.Return,
    ast.Try,
    ast.While,
    ast.With,
)


class Index:
    """The nodes of a module by kind, in the order of the source, each with the scope that evaluates it.

    Has the kinds of INDEXED. Annotations that nobody computes are left out.
    """

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[type[ast.AST], list[tuple[Any, Scope]]] = {kind: [] for kind in INDEXED}

    def of(self, kind: type[Node]) -> list[tuple[Node, Scope]]:
        """Return the nodes of one kind. Raises KeyError: it is none of INDEXED."""
        return self._places[kind]


def find_scopes(parsed: Parsed, index: Index | None = None) -> Scope:
    """Return the module's scope, with all others below it. index: an empty one, to be filled."""
    return _Builder(parsed.tree, {} if index is None else index._places).build()


class _Builder:
    """Walks a tree with a stack of (node, scope); what comes first in the source comes off first."""

    def __init__(self, tree: ast.Module, index: dict[type[ast.AST], list[tuple[Any, Scope]]]) -> None:
        self.tree = tree
        self.index = index
        self.module = Scope("module", "", tree, None)
        self.todo: list[tuple[ast.AST, Scope]] = []
        self.lazy_annotations = has_lazy_annotations(tree)

    def build(self) -> Scope:
        self.push(self.tree.body, self.module)
        todo, index = self.todo, self.index
        while todo:
            place = todo.pop()
            node, scope = place
            kind = type(node)
            if kind in index:
                index[kind].append(place)
            visit = _VISITS.get(kind)
            if visit is None:
                self.push_children(node, scope)
            else:
                visit(self, node, scope)
        _settle_declared(self.module)
        return self.module

    def push(self, nodes: Sequence[ast.AST], scope: Scope) -> None:
        self.todo.extend((node, scope) for node in reversed(nodes))

    def push_children(self, node: ast.AST, scope: Scope) -> None:
        todo = self.todo
        for field in reversed(node._fields):
            value = getattr(node, field, None)
            if isinstance(value, list):
                todo += [(item, scope) for item in reversed(value) if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                todo.append((value, scope))

    def bind(self, scope: Scope, name: str, how: How, line: int, origin: str = "") -> None:
        scope.bindings.setdefault(name, []).append(Binding(how, line, origin))

    def name(self, node: ast.Name, scope: Scope) -> None:
        if isinstance(node.ctx, ast.Load):
            scope.uses.append(Use(node.id, node, True))
            if node.id == "exec":
                self.module.is_dynamic = True
        else:
            how: How = "assignment" if isinstance(node.ctx, ast.Store) else "delete"
            self.bind(scope, node.id, how, node.lineno)

    def attribute(self, node: ast.Attribute, scope: Scope) -> None:
        if node.attr in ("update", "setdefault") and _is_globals(node.value):
            self.module.is_dynamic = True
        self.todo.append((node.value, scope))

    def subscript(self, node: ast.Subscript, scope: Scope) -> None:
        if isinstance(node.ctx, ast.Store) and _is_globals(node.value):
            self.module.is_dynamic = True
        self.todo += [(node.slice, scope), (node.value, scope)]

    def leaf(self, node: ast.AST, scope: Scope) -> None:
        """Constants and operators hold no names."""

    def imported(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.module.has_star = True
            elif isinstance(node, ast.Import):
                origin = alias.name if alias.asname else alias.name.partition(".")[0]
                self.bind(scope, alias.asname or origin, "import", node.lineno, origin)
            else:
                source = "." * node.level + (node.module or "")
                origin = f"{source}{'.' if node.module else ''}{alias.name}"
                self.bind(scope, alias.asname or alias.name, "import", node.lineno, origin)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        self.bind(scope, node.name, "def", node.lineno)
        outer = self.parameters(node, scope)
        inner = Scope("function", node.name, node, outer)
        self.push(node.body, inner)
        self.arguments(node.args, inner, outer)
        self.annotate(node.returns, outer)
        self.push(node.decorator_list, scope)

    def lambda_(self, node: ast.Lambda, scope: Scope) -> None:
        inner = Scope("function", "<lambda>", node, scope)
        self.todo.append((node.body, inner))
        self.arguments(node.args, inner, scope)

    def arguments(self, args: ast.arguments, inner: Scope, outer: Scope) -> None:
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        every += [extra for extra in (args.vararg, args.kwarg) if extra is not None]
        for arg in every:
            self.bind(inner, arg.arg, "parameter", arg.lineno)
            self.annotate(arg.annotation, outer)
        defaults = [*args.defaults, *(item for item in args.kw_defaults if item is not None)]
        # Defaults are evaluated outside the type parameters too, but a name found there is the same.
        self.push(defaults, outer)

    def parameters(self, node: ast.AST, scope: Scope) -> Scope:
        """Return the scope of PEP 695 type parameters, or `scope` where there are none."""
        params: list[ast.AST] = getattr(node, "type_params", [])
        if not params:
            return scope
        inner = Scope("parameters", "", node, scope)
        for param in params:
            self.bind(inner, getattr(param, "name", ""), "parameter", getattr(param, "lineno", 0))
            self.push_children(param, inner)
        return inner

    def class_(self, node: ast.ClassDef, scope: Scope) -> None:
        self.bind(scope, node.name, "class", node.lineno)
        outer = self.parameters(node, scope)
        inner = Scope("class", node.name, node, outer)
        self.push(node.body, inner)
        self.push([*node.bases, *node.keywords], outer)
        self.push(node.decorator_list, scope)

    def alias_(self, node: ast.AST, scope: Scope) -> None:
        """`type X = ...` of PEP 695: its value is evaluated only when somebody asks."""
        name = getattr(node, "name", None)
        if isinstance(name, ast.Name):
            self.bind(scope, name.id, "assignment", name.lineno)
        self.annotate(getattr(node, "value", None), self.parameters(node, scope), is_lazy=True)

    def comprehension(self, node: Comprehension, scope: Scope) -> None:
        inner = Scope("comprehension", "", node, scope)
        first, *others = node.generators
        # Targets before conditions and elements: a stack takes the last first.
        if isinstance(node, ast.DictComp):
            self.push([node.key, node.value], inner)
        else:
            self.todo.append((node.elt, inner))
        for generator in others:
            self.push([generator.target, generator.iter, *generator.ifs], inner)
        self.push([first.target, *first.ifs], inner)
        self.todo.append((first.iter, scope))

    def walrus(self, node: ast.NamedExpr, scope: Scope) -> None:
        owner = scope
        while owner.kind == "comprehension" and owner.parent is not None:
            owner = owner.parent
        self.bind(owner, node.target.id, "assignment", node.lineno)
        self.todo.append((node.value, scope))

    def annotated(self, node: ast.AnnAssign, scope: Scope) -> None:
        # Only module and class variables have their annotations computed.
        self.annotate(node.annotation, scope, is_lazy=scope.kind == "function")
        self.push([node.target] if node.value is None else [node.target, node.value], scope)

    def annotate(self, node: ast.expr | None, scope: Scope, *, is_lazy: bool = False) -> None:
        if node is None:
            return
        if not (is_lazy or self.lazy_annotations):
            self.todo.append((node, scope))
            return
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                scope.uses.append(Use(child.id, child, False))

    def handler(self, node: ast.ExceptHandler, scope: Scope) -> None:
        if node.name:
            self.bind(scope, node.name, "assignment", node.lineno)
        self.push_children(node, scope)

    def pattern(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping, scope: Scope) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.bind(scope, name, "assignment", node.lineno)
        self.push_children(node, scope)

    def declared(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> None:
        names = scope.global_names if isinstance(node, ast.Global) else scope.nonlocal_names
        names.update(node.names)


# A table instead of methods looked up by name: an audit spends its time in this loop.
_VISITS: dict[type[ast.AST], Callable[[_Builder, Any, Scope], None]] = {
    ast.Name: _Builder.name,
    ast.Attribute: _Builder.attribute,
    ast.Subscript: _Builder.subscript,
    ast.Import: _Builder.imported,
    ast.ImportFrom: _Builder.imported,
    ast.FunctionDef: _Builder.function,
    ast.AsyncFunctionDef: _Builder.function,
    ast.Lambda: _Builder.lambda_,
    ast.ClassDef: _Builder.class_,
    ast.ListComp: _Builder.comprehension,
    ast.SetComp: _Builder.comprehension,
    ast.DictComp: _Builder.comprehension,
    ast.GeneratorExp: _Builder.comprehension,
    ast.NamedExpr: _Builder.walrus,
    ast.AnnAssign: _Builder.annotated,
    ast.ExceptHandler: _Builder.handler,
    ast.MatchAs: _Builder.pattern,
    ast.MatchStar: _Builder.pattern,
    ast.MatchMapping: _Builder.pattern,
    ast.Global: _Builder.declared,
    ast.Nonlocal: _Builder.declared,
    ast.Constant: _Builder.leaf,
    ast.Load: _Builder.leaf,
    ast.Store: _Builder.leaf,
}
if sys.version_info >= (3, 12):
    _VISITS[ast.TypeAlias] = _Builder.alias_


def _is_globals(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"


def _settle_declared(module: Scope) -> None:
    """Move what a scope binds under `global` to the module, and drop what `nonlocal` says is elsewhere."""
    for scope in list(module.walk()):
        if scope is module:
            continue
        for name in scope.global_names & scope.bindings.keys():
            module.bindings.setdefault(name, []).extend(scope.bindings.pop(name))
        for name in scope.nonlocal_names & scope.bindings.keys():
            del scope.bindings[name]
