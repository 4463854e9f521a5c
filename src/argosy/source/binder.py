"""The binder: walks the tree of one module and makes its scopes, and an index on the way.

The tree is walked once with a stack of its own, so that a sum of a thousand terms is no
recursion. `symtable` knows the same scopes but no places within them, and would parse again;
the tests hold the two against each other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Sequence
from typing import Any

from argosy.source.index import Index
from argosy.source.nodes import children
from argosy.source.parse import Parsed
from argosy.source.scopes import Binding, How, Scope, Use, has_lazy_annotations

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def find_scopes(parsed: Parsed, index: Index | None = None) -> Scope:
    """Return the module's scope, with all others below it. index: an empty one, to be filled."""
    return _Binder(parsed.tree, {} if index is None else index.places).build()


class _Binder:
    """Walks a tree with a stack of (node, scope); what comes first in the source comes off first."""

    def __init__(self, tree: ast.Module, index: dict[type[ast.AST], list[tuple[Any, Scope]]]) -> None:
        self.tree = tree
        self.index = index
        self.module = Scope("module", "", tree, None)
        self.todo: list[tuple[ast.AST, Scope]] = []
        self.lazy_annotations = has_lazy_annotations(tree)

    def build(self) -> Scope:
        self.push(self.tree.body, self.module)
        todo, push_children, name = self.todo, self.push_children, self.name
        kept_of, visit_of = self.index.get, _VISITS.get
        while todo:
            place = todo.pop()
            node, scope = place
            kind = type(node)
            # A third of all nodes, of which no index is kept.
            if kind is ast.Name:
                name(node, scope)  # type: ignore[arg-type]
                continue
            kept = kept_of(kind)
            if kept is not None:
                kept.append(place)
            visit = visit_of(kind)
            if visit is not None:
                visit(self, node, scope)
            else:
                push_children(node, scope)
        _settle_declared(self.module)
        return self.module

    def push(self, nodes: Sequence[ast.AST], scope: Scope) -> None:
        self.todo.extend((node, scope) for node in reversed(nodes))

    def push_children(self, node: ast.AST, scope: Scope) -> None:
        self.todo += [(item, scope) for item in reversed(children(node))]

    def bind(self, scope: Scope, name: str, how: How, line: int, origin: str = "") -> None:
        scope.bindings.setdefault(name, []).append(Binding(how, line, origin))

    def name(self, node: ast.Name, scope: Scope) -> None:
        name = node.id
        if type(node.ctx) is ast.Load:
            scope.uses.append(Use(name, node, True))
            if name == "exec":
                self.module.is_dynamic = True
        else:
            how: How = "assignment" if type(node.ctx) is ast.Store else "delete"
            self.bind(scope, name, how, node.lineno)

    def call(self, node: ast.Call, scope: Scope) -> None:
        todo = self.todo
        if node.keywords:
            todo += [(item.value, scope) for item in reversed(node.keywords)]
        if node.args:
            todo += [(item, scope) for item in reversed(node.args)]
        todo.append((node.func, scope))

    def expression(self, node: ast.Expr, scope: Scope) -> None:
        self.todo.append((node.value, scope))

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
_VISITS: dict[type[ast.AST], Callable[[_Binder, Any, Scope], None]] = {
    ast.Attribute: _Binder.attribute,
    ast.Call: _Binder.call,
    ast.Expr: _Binder.expression,
    ast.Subscript: _Binder.subscript,
    ast.Import: _Binder.imported,
    ast.ImportFrom: _Binder.imported,
    ast.FunctionDef: _Binder.function,
    ast.AsyncFunctionDef: _Binder.function,
    ast.Lambda: _Binder.lambda_,
    ast.ClassDef: _Binder.class_,
    ast.ListComp: _Binder.comprehension,
    ast.SetComp: _Binder.comprehension,
    ast.DictComp: _Binder.comprehension,
    ast.GeneratorExp: _Binder.comprehension,
    ast.NamedExpr: _Binder.walrus,
    ast.AnnAssign: _Binder.annotated,
    ast.ExceptHandler: _Binder.handler,
    ast.MatchAs: _Binder.pattern,
    ast.MatchStar: _Binder.pattern,
    ast.MatchMapping: _Binder.pattern,
    ast.Global: _Binder.declared,
    ast.Nonlocal: _Binder.declared,
    ast.Constant: _Binder.leaf,
    ast.Load: _Binder.leaf,
    ast.Store: _Binder.leaf,
}
if sys.version_info >= (3, 12):
    _VISITS[ast.TypeAlias] = _Binder.alias_


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
