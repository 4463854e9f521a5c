"""Names that a module reads while it loads, before anything could have bound them.

Follows the module's own statements and those of its class bodies, not its functions. A name counts
as bound from the first place on any path that may bind it, so what is reported as certain is a
NameError in every run that gets there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from argosy.source import flow
from argosy.source.binder import Comprehension
from argosy.source.nodes import children
from argosy.source.parse import Parsed
from argosy.source.scopes import GIVEN, How, Scope, has_lazy_annotations

_ERROR = "NameError"
_IN_CLASS = ("__module__", "__qualname__")


class Early(msgspec.Struct, frozen=True):
    """A name read too early, or never bound at all.

    bound_line, bound_by: where and how the module binds it later; 0 and None for never.
    is_certain: the line surely runs when the module loads. caught: what enclosing handlers survive.
    """

    name: str
    line: int
    column: int
    bound_line: int
    bound_by: How | None
    is_certain: bool
    caught: frozenset[str]


def find_early(parsed: Parsed, module: Scope, *, is_main: bool) -> tuple[Early, ...]:
    """Return the names that are read too early, each once, in the order of their lines.

    is_main: the file is run as a script, so that the block under `__name__ == "__main__"` runs.
    Empty where a star import or exec may bind anything.
    """
    if module.has_star or module.is_dynamic:
        return ()
    walk = _Walk(parsed, module, is_main=is_main)
    walk.block(parsed.tree.body, _Path(walk.start(), None, True, frozenset()))
    first: dict[str, Early] = {}
    for early in sorted(walk.found, key=lambda item: (not item.is_certain, item.line, item.column)):
        first.setdefault(early.name, early)
    return tuple(sorted(first.values(), key=lambda item: (item.line, item.column)))


class _Path:
    """Where the walk is: what may be bound so far, and how surely it gets here.

    names: may be bound in the module. local: the same of the class body we are in, else None.
    """

    __slots__ = ("caught", "is_certain", "local", "names")

    def __init__(
        self, names: set[str], local: set[str] | None, is_certain: bool, caught: frozenset[str]
    ) -> None:
        self.names = names
        self.local = local
        self.is_certain = is_certain
        self.caught = caught

    def fork(self, *, is_certain: bool = False, caught: frozenset[str] = frozenset()) -> _Path:
        """Return a branch of its own, which `join` adds again."""
        local = None if self.local is None else set(self.local)
        return _Path(set(self.names), local, self.is_certain and is_certain, self.caught | caught)

    def join(self, *branches: _Path) -> None:
        for branch in branches:
            self.names |= branch.names
            if self.local is not None and branch.local is not None:
                self.local |= branch.local

    def bind(self, name: str) -> None:
        (self.names if self.local is None else self.local).add(name)

    def drop(self, name: str) -> None:
        (self.names if self.local is None else self.local).discard(name)

    def has(self, name: str) -> bool:
        return name in self.names or (self.local is not None and name in self.local)


class _Walk:
    def __init__(self, parsed: Parsed, module: Scope, *, is_main: bool) -> None:
        self.parsed = parsed
        self.module = module
        self.is_main = is_main
        self.lazy_annotations = has_lazy_annotations(parsed.tree)
        self.has_walrus = b":=" in parsed.source.data
        self.found: list[Early] = []
        # How many blocks around this place an exception may leave in their middle, and the program go on.
        self.left_early = 0

    def start(self) -> set[str]:
        """Return the names that functions bind by `global`: a call anywhere may have bound them."""
        names: set[str] = set()
        for scope in self.module.walk():
            names |= scope.global_names
        return names

    def block(self, body: list[ast.stmt], path: _Path) -> None:
        for node in body:
            self.statement(node, path)
            if flow.is_end(node):
                path.is_certain = False

    def statement(self, node: ast.stmt, path: _Path) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self.function(node, path)
        elif isinstance(node, ast.ClassDef):
            self.class_(node, path)
        elif isinstance(node, ast.If):
            self.branches(node, path)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
            self.loop(node, path)
        elif isinstance(node, ast.Try | ast.TryStar):
            self.tried(node, path)
        elif isinstance(node, ast.With | ast.AsyncWith):
            self.entered(node, path)
        elif isinstance(node, ast.Match):
            self.matched(node, path)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.imported(node, path)
        else:
            self.simple(node, path)

    def simple(self, node: ast.stmt, path: _Path) -> None:
        if isinstance(node, ast.Assert):
            self.read(node.test, path)
            self.read(node.msg, path, is_certain=False)
        elif isinstance(node, ast.AnnAssign):
            self.read(node.value, path)
            self.annotation(node.annotation, path)
            self.targets(node.target, path, is_bound=node.value is not None)
        elif isinstance(node, ast.Assign):
            self.read(node.value, path)
            for target in node.targets:
                self.targets(target, path)
        elif isinstance(node, ast.AugAssign):
            if isinstance(node.target, ast.Name):
                self.check(node.target, path, True)
            self.read(node.value, path)
            self.targets(node.target, path)
        elif isinstance(node, ast.Delete):
            self.deleted(node, path)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.read(child, path)

    def deleted(self, node: ast.Delete, path: _Path) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.check(target, path, True)
                self.drop(target.id, path)
            else:
                self.read(target, path)

    def drop(self, name: str, path: _Path) -> None:
        """Take a name as unbound from here on, unless a handler may go on from before this line."""
        if not self.left_early:
            path.drop(name)

    def targets(self, target: ast.expr, path: _Path, *, is_bound: bool = True) -> None:
        """Bind the names of an assignment's left side; what it reads (`a[i]`, `a.b`) is read."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and is_bound:
                path.bind(node.id)
        if not isinstance(target, ast.Name):
            self.read(target, path)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, path: _Path) -> None:
        for item in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            self.read(item, path)
        if not getattr(node, "type_params", None):
            args = node.args
            for arg in (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg):
                self.annotation(arg.annotation if arg is not None else None, path)
            self.annotation(node.returns, path)
        path.bind(node.name)

    def annotation(self, node: ast.expr | None, path: _Path) -> None:
        if not self.lazy_annotations:
            self.read(node, path)

    def class_(self, node: ast.ClassDef, path: _Path) -> None:
        for item in node.decorator_list:
            self.read(item, path)
        # Type parameters are names of their own; their classes are left to Python.
        if not getattr(node, "type_params", None):
            for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
                self.read(base, path)
        # Shares the module's names, and sees none of an enclosing class.
        inner = _Path(path.names, set(_IN_CLASS), path.is_certain, path.caught)
        self.block(node.body, inner)
        path.is_certain = inner.is_certain
        path.bind(node.name)

    def branches(self, node: ast.If, path: _Path) -> None:
        taken: list[_Path] = []
        rest: list[ast.stmt] = [node]
        is_reached = True
        while len(rest) == 1 and isinstance(rest[0], ast.If):
            node = rest[0]
            self.read(node.test, path, is_certain=is_reached)
            if not self.is_dead(node.test):
                taken.append(self.branch(node.body, path, is_reached and self.is_sure(node.test)))
                is_reached = False
            rest = node.orelse
        taken.append(self.branch(rest, path, is_reached))
        path.join(*taken)

    def branch(self, body: list[ast.stmt], path: _Path, is_certain: bool) -> _Path:
        """Walk a block that control may enter, and return where it ends; an end of the process is one."""
        inner = path.fork(is_certain=is_certain)
        was_certain = inner.is_certain
        self.block(body, inner)
        if was_certain and not inner.is_certain:
            path.is_certain = False
        return inner

    def is_dead(self, test: ast.expr) -> bool:
        return flow.is_never(test) or (flow.is_main_test(test) and not self.is_main)

    def is_sure(self, test: ast.expr) -> bool:
        return flow.is_always(test) or (flow.is_main_test(test) and self.is_main)

    def loop(self, node: ast.For | ast.AsyncFor | ast.While, path: _Path) -> None:
        if isinstance(node, ast.While):
            self.read(node.test, path)
        else:
            self.read(node.iter, path)
        body, after = path.fork(), path.fork()
        if not isinstance(node, ast.While):
            self.targets(node.target, body)
        self.block(node.body, body)
        after.join(body)
        self.block(node.orelse, after)
        path.join(body, after)

    def tried(self, node: ast.Try | ast.TryStar, path: _Path) -> None:
        body = path.fork(is_certain=True, caught=flow.caught_by(node))
        self.left_early += 1
        self.block(node.body, body)
        self.left_early -= 1
        others: list[_Path] = []
        for handler in node.handlers:
            branch = path.fork()
            branch.join(body)
            self.read(handler.type, branch)
            if handler.name:
                branch.bind(handler.name)
            self.block(handler.body, branch)
            if handler.name:
                self.drop(handler.name, branch)
            others.append(branch)
        done = body.fork(is_certain=not node.handlers)
        done.caught = path.caught
        self.block(node.orelse, done)
        path.join(body, done, *others)
        was_certain = path.is_certain
        self.block(node.finalbody, path)
        if was_certain and not node.handlers:
            path.is_certain = path.is_certain and done.is_certain

    def entered(self, node: ast.With | ast.AsyncWith, path: _Path) -> None:
        for item in node.items:
            self.read(item.context_expr, path)
            if item.optional_vars is not None:
                self.targets(item.optional_vars, path)
        outer = path.caught
        path.caught = outer | flow.suppressed_by(node)
        self.left_early += 1
        self.block(node.body, path)
        self.left_early -= 1
        path.caught = outer

    def matched(self, node: ast.Match, path: _Path) -> None:
        self.read(node.subject, path)
        cases: list[_Path] = []
        for case in node.cases:
            branch = path.fork()
            for part in ast.walk(case.pattern):
                name = part.rest if isinstance(part, ast.MatchMapping) else getattr(part, "name", None)
                if isinstance(name, str):
                    branch.bind(name)
            self.read(case.guard, branch)
            self.block(case.body, branch)
            cases.append(branch)
        path.join(*cases)

    def imported(self, node: ast.Import | ast.ImportFrom, path: _Path) -> None:
        for alias in node.names:
            path.bind(alias.asname or alias.name.split(".")[0])

    def read(self, node: ast.expr | None, path: _Path, *, is_certain: bool = True) -> None:
        """Check every name that evaluating `node` reads; what it may skip is not certain."""
        if node is None or type(node) is ast.Constant:
            return
        if self.has_walrus:
            for part in ast.walk(node):
                if isinstance(part, ast.NamedExpr):
                    path.bind(part.target.id)
        for name, is_sure in _reads(node):
            if name.id not in GIVEN:
                self.check(name, path, is_certain and is_sure)

    def check(self, node: ast.Name, path: _Path, is_certain: bool) -> None:
        name = node.id
        if name in GIVEN or path.has(name) or _ERROR in path.caught:
            return
        later = self.module.bindings.get(name, ())
        bound = next((item for item in later if item.how != "delete"), None)
        self.found.append(
            Early(
                name,
                node.lineno,
                self.parsed.column(node),
                bound.line if bound else 0,
                bound.how if bound else None,
                path.is_certain and is_certain and not flow.is_caught(_ERROR, path.caught),
                path.caught,
            )
        )


def _reads(root: ast.expr) -> Iterator[tuple[ast.Name, bool]]:
    """Yield (name, surely read) for what `root` reads when evaluated."""
    todo: list[tuple[ast.AST, bool, frozenset[str]]] = [(root, True, frozenset())]
    while todo:
        node, sure, hidden = todo.pop()
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is ast.Load and node.id not in hidden:  # type: ignore[attr-defined]
                yield node, sure  # type: ignore[misc]
        elif kind in _PARTS:
            todo += _PARTS[kind](node, sure, hidden)
        else:
            todo += [(child, sure, hidden) for child in children(node)]


Part = tuple[ast.AST, bool, frozenset[str]]


def _of_lambda(node: ast.Lambda, sure: bool, hidden: frozenset[str]) -> list[Part]:
    defaults = [*node.args.defaults, *node.args.kw_defaults]
    return [(item, sure, hidden) for item in defaults if item is not None]


def _of_bool(node: ast.BoolOp, sure: bool, hidden: frozenset[str]) -> list[Part]:
    return [(node.values[0], sure, hidden), *((item, False, hidden) for item in node.values[1:])]


def _of_choice(node: ast.IfExp, sure: bool, hidden: frozenset[str]) -> list[Part]:
    return [(node.test, sure, hidden), (node.body, False, hidden), (node.orelse, False, hidden)]


def _of_compare(node: ast.Compare, sure: bool, hidden: frozenset[str]) -> list[Part]:
    first = [(node.left, sure, hidden), (node.comparators[0], sure, hidden)]
    return [*first, *((item, False, hidden) for item in node.comparators[1:])]


def _of_comprehension(node: Comprehension, sure: bool, hidden: frozenset[str]) -> list[Part]:
    inner = hidden | _targets(node)
    return [(node.generators[0].iter, sure, hidden), *((item, False, inner) for item in _inside(node))]


# What an expression may leave out when it is evaluated, and what names are its own.
_PARTS: dict[type[ast.AST], Callable[[Any, bool, frozenset[str]], list[Part]]] = {
    ast.Lambda: _of_lambda,
    ast.BoolOp: _of_bool,
    ast.IfExp: _of_choice,
    ast.Compare: _of_compare,
    ast.ListComp: _of_comprehension,
    ast.SetComp: _of_comprehension,
    ast.DictComp: _of_comprehension,
    ast.GeneratorExp: _of_comprehension,
}


def _targets(node: Comprehension) -> frozenset[str]:
    return frozenset(
        part.id
        for generator in node.generators
        for part in ast.walk(generator.target)
        if isinstance(part, ast.Name)
    )


def _inside(node: Comprehension) -> list[ast.expr]:
    """Return what a comprehension evaluates for its items; its first iterable is evaluated outside."""
    heads = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    iterables = [generator.iter for generator in node.generators[1:]]
    return [*heads, *iterables, *(test for generator in node.generators for test in generator.ifs)]
