"""Finds names that a module reads while it loads, before anything can have bound them.

Follows the statements of the module and of its class bodies, not of functions. A name counts as bound
after the first statement on any path that may bind it, so a finding reported as certain is a NameError in
every run that gets there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from argosy.source import control_flow
from argosy.source.ast_children import children
from argosy.source.binder import Comprehension
from argosy.source.name_scopes import PREDEFINED_NAMES, BindingKind, NameScope, has_lazy_annotations
from argosy.source.python_parser import Parsed

_NAME_ERROR = "NameError"
_CLASS_NAMES = ("__module__", "__qualname__")


class UseBeforeDefinition(msgspec.Struct, frozen=True):
    """A name read too early, or never bound.

    bound_line, bound_by: where and how the module binds it later; 0 and None for never.
    is_certain: the line always runs when the module loads. caught: the exceptions that enclosing handlers
    catch.
    """

    name: str
    line: int
    column: int
    bound_line: int
    bound_by: BindingKind | None
    is_certain: bool
    caught: frozenset[str]


def find_uses_before_definition(
    parsed: Parsed, module: NameScope, *, is_main: bool
) -> tuple[UseBeforeDefinition, ...]:
    """Return the names that are read too early, each once, in line order.

    is_main: the file is run as a script, so that the block under `__name__ == "__main__"` runs.
    Returns nothing if a star import or exec may bind any name.
    """
    if module.has_star or module.is_dynamic:
        return ()
    checker = _DefinitionChecker(parsed, module, is_main=is_main)
    checker.visit_block(parsed.tree.body, _FlowState(checker.globally_bound_names(), None, True, frozenset()))
    first: dict[str, UseBeforeDefinition] = {}
    for use in sorted(checker.found, key=lambda item: (not item.is_certain, item.line, item.column)):
        first.setdefault(use.name, use)
    return tuple(sorted(first.values(), key=lambda item: (item.line, item.column)))


class _FlowState:
    """The state of the walk: the names that may be bound so far, and whether it certainly gets here.

    names: may be bound in the module. local: may be bound in the current class body, else None.
    """

    __slots__ = ("caught", "is_certain", "local", "names")

    def __init__(
        self, names: set[str], local: set[str] | None, is_certain: bool, caught: frozenset[str]
    ) -> None:
        self.names = names
        self.local = local
        self.is_certain = is_certain
        self.caught = caught

    def fork(self, *, is_certain: bool = False, caught: frozenset[str] = frozenset()) -> _FlowState:
        """Return a copy for a branch; `join` merges it back."""
        local = None if self.local is None else set(self.local)
        return _FlowState(set(self.names), local, self.is_certain and is_certain, self.caught | caught)

    def join(self, *branches: _FlowState) -> None:
        for branch in branches:
            self.names |= branch.names
            if self.local is not None and branch.local is not None:
                self.local |= branch.local

    def bind(self, name: str) -> None:
        (self.names if self.local is None else self.local).add(name)

    def unbind(self, name: str) -> None:
        (self.names if self.local is None else self.local).discard(name)

    def is_bound(self, name: str) -> bool:
        return name in self.names or (self.local is not None and name in self.local)


class _DefinitionChecker:
    def __init__(self, parsed: Parsed, module: NameScope, *, is_main: bool) -> None:
        self.parsed = parsed
        self.module = module
        self.is_main = is_main
        self.lazy_annotations = has_lazy_annotations(parsed.tree)
        self.has_walrus = b":=" in parsed.source.data
        self.found: list[UseBeforeDefinition] = []
        # The number of enclosing blocks that a caught exception may leave midway.
        self.interruptible_depth = 0

    def globally_bound_names(self) -> set[str]:
        """Return the names that functions bind by `global`: any call may have bound them."""
        names: set[str] = set()
        for scope in self.module.walk():
            names |= scope.global_names
        return names

    def visit_block(self, body: list[ast.stmt], state: _FlowState) -> None:
        for node in body:
            self.visit_statement(node, state)
            if control_flow.is_exit(node):
                state.is_certain = False

    def visit_statement(self, node: ast.stmt, state: _FlowState) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self.visit_function(node, state)
        elif isinstance(node, ast.ClassDef):
            self.visit_class(node, state)
        elif isinstance(node, ast.If):
            self.visit_if(node, state)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
            self.visit_loop(node, state)
        elif isinstance(node, ast.Try | ast.TryStar):
            self.visit_try(node, state)
        elif isinstance(node, ast.With | ast.AsyncWith):
            self.visit_with(node, state)
        elif isinstance(node, ast.Match):
            self.visit_match(node, state)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.visit_import(node, state)
        else:
            self.visit_simple(node, state)

    def visit_simple(self, node: ast.stmt, state: _FlowState) -> None:
        if isinstance(node, ast.Assert):
            self.check_reads(node.test, state)
            self.check_reads(node.msg, state, is_certain=False)
        elif isinstance(node, ast.AnnAssign):
            self.check_reads(node.value, state)
            self.read_annotation(node.annotation, state)
            self.bind_targets(node.target, state, is_bound=node.value is not None)
        elif isinstance(node, ast.Assign):
            self.check_reads(node.value, state)
            for target in node.targets:
                self.bind_targets(target, state)
        elif isinstance(node, ast.AugAssign):
            if isinstance(node.target, ast.Name):
                self.check_name(node.target, state, True)
            self.check_reads(node.value, state)
            self.bind_targets(node.target, state)
        elif isinstance(node, ast.Delete):
            self.visit_delete(node, state)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.check_reads(child, state)

    def visit_delete(self, node: ast.Delete, state: _FlowState) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.check_name(target, state, True)
                self.unbind(target.id, state)
            else:
                self.check_reads(target, state)

    def unbind(self, name: str, state: _FlowState) -> None:
        """Mark a name as unbound from here on, unless a handler may continue from before this line."""
        if not self.interruptible_depth:
            state.unbind(name)

    def bind_targets(self, target: ast.expr, state: _FlowState, *, is_bound: bool = True) -> None:
        """Bind the names of an assignment target, and check those that it reads (`a[i]`, `a.b`)."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and is_bound:
                state.bind(node.id)
        if not isinstance(target, ast.Name):
            self.check_reads(target, state)

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, state: _FlowState) -> None:
        for item in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            self.check_reads(item, state)
        if not getattr(node, "type_params", None):
            args = node.args
            for arg in (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg):
                self.read_annotation(arg.annotation if arg is not None else None, state)
            self.read_annotation(node.returns, state)
        state.bind(node.name)

    def read_annotation(self, node: ast.expr | None, state: _FlowState) -> None:
        if not self.lazy_annotations:
            self.check_reads(node, state)

    def visit_class(self, node: ast.ClassDef, state: _FlowState) -> None:
        for item in node.decorator_list:
            self.check_reads(item, state)
        # Type parameters bind further names; classes that have them are not checked.
        if not getattr(node, "type_params", None):
            for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
                self.check_reads(base, state)
        # Shares the module's names, but not those of an enclosing class.
        inner = _FlowState(state.names, set(_CLASS_NAMES), state.is_certain, state.caught)
        self.visit_block(node.body, inner)
        state.is_certain = inner.is_certain
        state.bind(node.name)

    def visit_if(self, node: ast.If, state: _FlowState) -> None:
        branches: list[_FlowState] = []
        rest: list[ast.stmt] = [node]
        is_reached = True
        while len(rest) == 1 and isinstance(rest[0], ast.If):
            node = rest[0]
            self.check_reads(node.test, state, is_certain=is_reached)
            if not self.is_never_taken(node.test):
                branches.append(
                    self.visit_branch(node.body, state, is_reached and self.is_always_taken(node.test))
                )
                is_reached = False
            rest = node.orelse
        branches.append(self.visit_branch(rest, state, is_reached))
        state.join(*branches)

    def visit_branch(self, body: list[ast.stmt], state: _FlowState, is_certain: bool) -> _FlowState:
        """Walk a block that may run, and return its final state; it may end the process."""
        inner = state.fork(is_certain=is_certain)
        was_certain = inner.is_certain
        self.visit_block(body, inner)
        if was_certain and not inner.is_certain:
            state.is_certain = False
        return inner

    def is_never_taken(self, test: ast.expr) -> bool:
        return control_flow.is_always_false(test) or (control_flow.is_main_test(test) and not self.is_main)

    def is_always_taken(self, test: ast.expr) -> bool:
        return control_flow.is_always_true(test) or (control_flow.is_main_test(test) and self.is_main)

    def visit_loop(self, node: ast.For | ast.AsyncFor | ast.While, state: _FlowState) -> None:
        if isinstance(node, ast.While):
            self.check_reads(node.test, state)
        else:
            self.check_reads(node.iter, state)
        body, after = state.fork(), state.fork()
        if not isinstance(node, ast.While):
            self.bind_targets(node.target, body)
        self.visit_block(node.body, body)
        after.join(body)
        self.visit_block(node.orelse, after)
        state.join(body, after)

    def visit_try(self, node: ast.Try | ast.TryStar, state: _FlowState) -> None:
        body = state.fork(is_certain=True, caught=control_flow.caught_by(node))
        self.interruptible_depth += 1
        self.visit_block(node.body, body)
        self.interruptible_depth -= 1
        others: list[_FlowState] = []
        for handler in node.handlers:
            branch = state.fork()
            branch.join(body)
            self.check_reads(handler.type, branch)
            if handler.name:
                branch.bind(handler.name)
            self.visit_block(handler.body, branch)
            if handler.name:
                self.unbind(handler.name, branch)
            others.append(branch)
        no_error = body.fork(is_certain=not node.handlers)
        no_error.caught = state.caught
        self.visit_block(node.orelse, no_error)
        state.join(body, no_error, *others)
        was_certain = state.is_certain
        self.visit_block(node.finalbody, state)
        if was_certain and not node.handlers:
            state.is_certain = state.is_certain and no_error.is_certain

    def visit_with(self, node: ast.With | ast.AsyncWith, state: _FlowState) -> None:
        for item in node.items:
            self.check_reads(item.context_expr, state)
            if item.optional_vars is not None:
                self.bind_targets(item.optional_vars, state)
        outer = state.caught
        state.caught = outer | control_flow.suppressed_by(node)
        self.interruptible_depth += 1
        self.visit_block(node.body, state)
        self.interruptible_depth -= 1
        state.caught = outer

    def visit_match(self, node: ast.Match, state: _FlowState) -> None:
        self.check_reads(node.subject, state)
        cases: list[_FlowState] = []
        for case in node.cases:
            branch = state.fork()
            for part in ast.walk(case.pattern):
                name = part.rest if isinstance(part, ast.MatchMapping) else getattr(part, "name", None)
                if isinstance(name, str):
                    branch.bind(name)
            self.check_reads(case.guard, branch)
            self.visit_block(case.body, branch)
            cases.append(branch)
        state.join(*cases)

    def visit_import(self, node: ast.Import | ast.ImportFrom, state: _FlowState) -> None:
        for alias in node.names:
            state.bind(alias.asname or alias.name.split(".")[0])

    def check_reads(self, node: ast.expr | None, state: _FlowState, *, is_certain: bool = True) -> None:
        """Check every name that evaluating `node` reads; parts that may be skipped are not certain."""
        if node is None or type(node) is ast.Constant:
            return
        if self.has_walrus:
            for part in ast.walk(node):
                if isinstance(part, ast.NamedExpr):
                    state.bind(part.target.id)
        for name, is_sure in _iter_reads(node):
            if name.id not in PREDEFINED_NAMES:
                self.check_name(name, state, is_certain and is_sure)

    def check_name(self, node: ast.Name, state: _FlowState, is_certain: bool) -> None:
        name = node.id
        if name in PREDEFINED_NAMES or state.is_bound(name) or _NAME_ERROR in state.caught:
            return
        later = self.module.bindings.get(name, ())
        bound = next((item for item in later if item.kind != "delete"), None)
        self.found.append(
            UseBeforeDefinition(
                name,
                node.lineno,
                self.parsed.column(node),
                bound.line if bound else 0,
                bound.kind if bound else None,
                state.is_certain and is_certain and not control_flow.is_caught(_NAME_ERROR, state.caught),
                state.caught,
            )
        )


def _iter_reads(root: ast.expr) -> Iterator[tuple[ast.Name, bool]]:
    """Yield (name, is certain) for each name that evaluating `root` reads."""
    todo: list[tuple[ast.AST, bool, frozenset[str]]] = [(root, True, frozenset())]
    while todo:
        node, is_certain, shadowed = todo.pop()
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is ast.Load and node.id not in shadowed:  # type: ignore[attr-defined]
                yield node, is_certain  # type: ignore[misc]
        elif kind in _PARTIAL_READERS:
            todo += _PARTIAL_READERS[kind](node, is_certain, shadowed)
        else:
            todo += [(child, is_certain, shadowed) for child in children(node)]


Read = tuple[ast.AST, bool, frozenset[str]]


def _lambda_reads(node: ast.Lambda, is_certain: bool, shadowed: frozenset[str]) -> list[Read]:
    defaults = [*node.args.defaults, *node.args.kw_defaults]
    return [(item, is_certain, shadowed) for item in defaults if item is not None]


def _bool_reads(node: ast.BoolOp, is_certain: bool, shadowed: frozenset[str]) -> list[Read]:
    return [(node.values[0], is_certain, shadowed), *((item, False, shadowed) for item in node.values[1:])]


def _conditional_reads(node: ast.IfExp, is_certain: bool, shadowed: frozenset[str]) -> list[Read]:
    return [(node.test, is_certain, shadowed), (node.body, False, shadowed), (node.orelse, False, shadowed)]


def _comparison_reads(node: ast.Compare, is_certain: bool, shadowed: frozenset[str]) -> list[Read]:
    first = [(node.left, is_certain, shadowed), (node.comparators[0], is_certain, shadowed)]
    return [*first, *((item, False, shadowed) for item in node.comparators[1:])]


def _comprehension_reads(node: Comprehension, is_certain: bool, shadowed: frozenset[str]) -> list[Read]:
    inner = shadowed | _comprehension_targets(node)
    return [
        (node.generators[0].iter, is_certain, shadowed),
        *((item, False, inner) for item in _comprehension_expressions(node)),
    ]


# Expressions that may skip parts when evaluated, or that bind names of their own.
_PARTIAL_READERS: dict[type[ast.AST], Callable[[Any, bool, frozenset[str]], list[Read]]] = {
    ast.Lambda: _lambda_reads,
    ast.BoolOp: _bool_reads,
    ast.IfExp: _conditional_reads,
    ast.Compare: _comparison_reads,
    ast.ListComp: _comprehension_reads,
    ast.SetComp: _comprehension_reads,
    ast.DictComp: _comprehension_reads,
    ast.GeneratorExp: _comprehension_reads,
}


def _comprehension_targets(node: Comprehension) -> frozenset[str]:
    return frozenset(
        part.id
        for generator in node.generators
        for part in ast.walk(generator.target)
        if isinstance(part, ast.Name)
    )


def _comprehension_expressions(node: Comprehension) -> list[ast.expr]:
    """Return the expressions a comprehension evaluates per item; its first iterable is evaluated outside."""
    heads = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    iterables = [generator.iter for generator in node.generators[1:]]
    return [*heads, *iterables, *(test for generator in node.generators for test in generator.ifs)]
