"""Builds the scopes of one module, and optionally a node index, in one walk of its tree.

The walk uses an explicit stack, so that a sum of a thousand terms causes no recursion. `symtable`
provides the same scopes but no positions within them, and would parse again; the tests compare the two.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from argosy.source.ast_children import children
from argosy.source.name_scopes import Binding, BindingKind, NameScope, NameUse, has_lazy_annotations
from argosy.source.python_parser import Parsed

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def find_scopes(parsed: Parsed, index: NodeIndex | None = None) -> NameScope:
    """Return the module's scope, with all others below it. index: an empty index to fill."""
    return _Binder(parsed.tree, {} if index is None else index.nodes).build()


class _Binder:
    """Walks a tree with a stack of (node, scope), in source order."""

    def __init__(self, tree: ast.Module, index: dict[type[ast.AST], list[tuple[Any, NameScope]]]) -> None:
        self.tree = tree
        self.index = index
        self.module = NameScope("module", "", tree, None)
        self.pending: list[tuple[ast.AST, NameScope]] = []
        self.lazy_annotations = has_lazy_annotations(tree)

    def build(self) -> NameScope:
        self.push(self.tree.body, self.module)
        todo, push_children, name = self.pending, self.push_children, self.visit_name
        kept_of, visit_of = self.index.get, _VISITORS.get
        while todo:
            entry = todo.pop()
            node, scope = entry
            kind = type(node)
            # A third of all nodes are names, which are not indexed.
            if kind is ast.Name:
                name(node, scope)  # type: ignore[arg-type]
                continue
            kept = kept_of(kind)
            if kept is not None:
                kept.append(entry)
            visit = visit_of(kind)
            if visit is not None:
                visit(self, node, scope)
            else:
                push_children(node, scope)
        _apply_global_and_nonlocal(self.module)
        return self.module

    def push(self, nodes: Sequence[ast.AST], scope: NameScope) -> None:
        self.pending.extend((node, scope) for node in reversed(nodes))

    def push_children(self, node: ast.AST, scope: NameScope) -> None:
        self.pending += [(item, scope) for item in reversed(children(node))]

    def bind(self, scope: NameScope, name: str, kind: BindingKind, line: int, origin: str = "") -> None:
        scope.bindings.setdefault(name, []).append(Binding(kind, line, origin))

    def visit_name(self, node: ast.Name, scope: NameScope) -> None:
        name = node.id
        if type(node.ctx) is ast.Load:
            scope.uses.append(NameUse(name, node, True))
            if name == "exec":
                self.module.is_dynamic = True
        else:
            kind: BindingKind = "assignment" if type(node.ctx) is ast.Store else "delete"
            self.bind(scope, name, kind, node.lineno)

    def visit_call(self, node: ast.Call, scope: NameScope) -> None:
        todo = self.pending
        if node.keywords:
            todo += [(item.value, scope) for item in reversed(node.keywords)]
        if node.args:
            todo += [(item, scope) for item in reversed(node.args)]
        todo.append((node.func, scope))

    def visit_expression(self, node: ast.Expr, scope: NameScope) -> None:
        self.pending.append((node.value, scope))

    def visit_attribute(self, node: ast.Attribute, scope: NameScope) -> None:
        if node.attr in ("update", "setdefault") and _is_globals_call(node.value):
            self.module.is_dynamic = True
        self.pending.append((node.value, scope))

    def visit_subscript(self, node: ast.Subscript, scope: NameScope) -> None:
        if isinstance(node.ctx, ast.Store) and _is_globals_call(node.value):
            self.module.is_dynamic = True
        self.pending += [(node.slice, scope), (node.value, scope)]

    def visit_leaf(self, node: ast.AST, scope: NameScope) -> None:
        """Do nothing: constants and operators contain no names."""

    def visit_import(self, node: ast.Import | ast.ImportFrom, scope: NameScope) -> None:
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

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: NameScope) -> None:
        self.bind(scope, node.name, "def", node.lineno)
        outer = self.type_parameter_scope(node, scope)
        inner = NameScope("function", node.name, node, outer)
        self.push(node.body, inner)
        self.bind_arguments(node.args, inner, outer)
        self.visit_annotation(node.returns, outer)
        self.push(node.decorator_list, scope)

    def visit_lambda(self, node: ast.Lambda, scope: NameScope) -> None:
        inner = NameScope("function", "<lambda>", node, scope)
        self.pending.append((node.body, inner))
        self.bind_arguments(node.args, inner, scope)

    def bind_arguments(self, args: ast.arguments, inner: NameScope, outer: NameScope) -> None:
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        every += [extra for extra in (args.vararg, args.kwarg) if extra is not None]
        for arg in every:
            self.bind(inner, arg.arg, "parameter", arg.lineno)
            self.visit_annotation(arg.annotation, outer)
        defaults = [*args.defaults, *(item for item in args.kw_defaults if item is not None)]
        # Defaults are evaluated outside the type parameters, but their names resolve the same way.
        self.push(defaults, outer)

    def type_parameter_scope(self, node: ast.AST, scope: NameScope) -> NameScope:
        """Return the scope of PEP 695 type parameters, or `scope` if there are none."""
        params: list[ast.AST] = getattr(node, "type_params", [])
        if not params:
            return scope
        inner = NameScope("parameters", "", node, scope)
        for param in params:
            self.bind(inner, getattr(param, "name", ""), "parameter", getattr(param, "lineno", 0))
            self.push_children(param, inner)
        return inner

    def visit_class(self, node: ast.ClassDef, scope: NameScope) -> None:
        self.bind(scope, node.name, "class", node.lineno)
        outer = self.type_parameter_scope(node, scope)
        inner = NameScope("class", node.name, node, outer)
        self.push(node.body, inner)
        self.push([*node.bases, *node.keywords], outer)
        self.push(node.decorator_list, scope)

    def visit_type_alias(self, node: ast.AST, scope: NameScope) -> None:
        """Visit `type X = ...` (PEP 695), whose value is evaluated lazily."""
        name = getattr(node, "name", None)
        if isinstance(name, ast.Name):
            self.bind(scope, name.id, "assignment", name.lineno)
        self.visit_annotation(
            getattr(node, "value", None), self.type_parameter_scope(node, scope), is_lazy=True
        )

    def visit_comprehension(self, node: Comprehension, scope: NameScope) -> None:
        inner = NameScope("comprehension", "", node, scope)
        first, *others = node.generators
        # Targets must be visited before conditions and elements, so they are pushed last.
        if isinstance(node, ast.DictComp):
            self.push([node.key, node.value], inner)
        else:
            self.pending.append((node.elt, inner))
        for generator in others:
            self.push([generator.target, generator.iter, *generator.ifs], inner)
        self.push([first.target, *first.ifs], inner)
        self.pending.append((first.iter, scope))

    def visit_named_expression(self, node: ast.NamedExpr, scope: NameScope) -> None:
        owner = scope
        while owner.kind == "comprehension" and owner.parent is not None:
            owner = owner.parent
        self.bind(owner, node.target.id, "assignment", node.lineno)
        self.pending.append((node.value, scope))

    def visit_annotated_assignment(self, node: ast.AnnAssign, scope: NameScope) -> None:
        # Only annotations of module and class variables are evaluated.
        self.visit_annotation(node.annotation, scope, is_lazy=scope.kind == "function")
        self.push([node.target] if node.value is None else [node.target, node.value], scope)

    def visit_annotation(self, node: ast.expr | None, scope: NameScope, *, is_lazy: bool = False) -> None:
        if node is None:
            return
        if not (is_lazy or self.lazy_annotations):
            self.pending.append((node, scope))
            return
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                scope.uses.append(NameUse(child.id, child, False))

    def visit_handler(self, node: ast.ExceptHandler, scope: NameScope) -> None:
        if node.name:
            self.bind(scope, node.name, "assignment", node.lineno)
        self.push_children(node, scope)

    def visit_pattern(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping, scope: NameScope) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.bind(scope, name, "assignment", node.lineno)
        self.push_children(node, scope)

    def visit_declaration(self, node: ast.Global | ast.Nonlocal, scope: NameScope) -> None:
        names = scope.global_names if isinstance(node, ast.Global) else scope.nonlocal_names
        names.update(node.names)


# A table is faster than looking up methods by name, and an audit spends most of its time in this loop.
_VISITORS: dict[type[ast.AST], Callable[[_Binder, Any, NameScope], None]] = {
    ast.Attribute: _Binder.visit_attribute,
    ast.Call: _Binder.visit_call,
    ast.Expr: _Binder.visit_expression,
    ast.Subscript: _Binder.visit_subscript,
    ast.Import: _Binder.visit_import,
    ast.ImportFrom: _Binder.visit_import,
    ast.FunctionDef: _Binder.visit_function,
    ast.AsyncFunctionDef: _Binder.visit_function,
    ast.Lambda: _Binder.visit_lambda,
    ast.ClassDef: _Binder.visit_class,
    ast.ListComp: _Binder.visit_comprehension,
    ast.SetComp: _Binder.visit_comprehension,
    ast.DictComp: _Binder.visit_comprehension,
    ast.GeneratorExp: _Binder.visit_comprehension,
    ast.NamedExpr: _Binder.visit_named_expression,
    ast.AnnAssign: _Binder.visit_annotated_assignment,
    ast.ExceptHandler: _Binder.visit_handler,
    ast.MatchAs: _Binder.visit_pattern,
    ast.MatchStar: _Binder.visit_pattern,
    ast.MatchMapping: _Binder.visit_pattern,
    ast.Global: _Binder.visit_declaration,
    ast.Nonlocal: _Binder.visit_declaration,
    ast.Constant: _Binder.visit_leaf,
    ast.Load: _Binder.visit_leaf,
    ast.Store: _Binder.visit_leaf,
}
if sys.version_info >= (3, 12):
    _VISITORS[ast.TypeAlias] = _Binder.visit_type_alias


def _is_globals_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"


def _apply_global_and_nonlocal(module: NameScope) -> None:
    """Move bindings of `global` names to the module, and drop those of `nonlocal` names."""
    for scope in list(module.walk()):
        if scope is module:
            continue
        for name in scope.global_names & scope.bindings.keys():
            module.bindings.setdefault(name, []).extend(scope.bindings.pop(name))
        for name in scope.nonlocal_names & scope.bindings.keys():
            del scope.bindings[name]


Node = TypeVar("Node", bound=ast.AST)

# Each further type slows down the walk of every file.
INDEXED_TYPES: tuple[type[ast.AST], ...] = (
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


class NodeIndex:
    """The nodes of a module by type, in source order, each with the scope that evaluates it.

    Contains the types in INDEXED_TYPES, filled by `binder.find_scopes`, without unevaluated annotations.
    """

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes: dict[type[ast.AST], list[tuple[Any, NameScope]]] = {kind: [] for kind in INDEXED_TYPES}

    def of_type(self, kind: type[Node]) -> list[tuple[Node, NameScope]]:
        """Return the nodes of one type. Raises KeyError: the type is not in INDEXED_TYPES."""
        return self.nodes[kind]
