"""Import statements as data: what, where, and under which circumstances they run."""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from argosy.source import flow
from argosy.source.index import Index
from argosy.source.parse import Parsed
from argosy.source.text import Marks, find_marks


class When(enum.StrEnum):
    """A circumstance of an import; one without any runs whenever its module is loaded."""

    LAZY = "lazy"  # in a function
    GUARDED = "guarded"  # its failure is caught
    TYPING = "typing"  # under TYPE_CHECKING: never at run time
    PLATFORM = "platform"  # under a test for the operating system
    CONDITIONAL = "conditional"  # under another test, in a loop, or in a handler
    MAIN = "main"  # under `if __name__ == "__main__"`
    DYNAMIC = "dynamic"  # import_module("literal"), __import__("literal")


class Import(msgspec.Struct, frozen=True):
    """One imported module, with the names taken from it.

    module: the dotted name as written, without the dots of a relative import (`level` counts them).
    names: what `from` takes; empty for a plain `import`.
    line, column: where the statement begins, counted from 1.
    caught: the exceptions that an enclosing handler survives.
    """

    module: str
    level: int
    names: tuple[str, ...]
    line: int
    column: int
    when: frozenset[When] = frozenset()
    caught: frozenset[str] = frozenset()

    @property
    def is_star(self) -> bool:
        return self.names == ("*",)

    def written(self) -> str:
        """Return the module's name with its leading dots."""
        return "." * self.level + self.module


def find_imports(parsed: Parsed, index: Index | None = None) -> tuple[Import, ...]:
    """Return the imports of a file, in the order of its lines.

    index: filled by `find_scopes`; what has no import in it is then left out of the walk.
    """
    found = list(_Walk(parsed, index).block(parsed.tree.body, frozenset(), frozenset()))
    return tuple(sorted(found, key=lambda item: (item.line, item.column)))


_CALLS = (re.compile(b"import_module"), re.compile(b"__import__"))


class _Walk:
    """One pass over the statements; expressions are looked at only where an import call is near."""

    def __init__(self, parsed: Parsed, index: Index | None) -> None:
        self.parsed = parsed
        self.calls = find_marks(parsed.source.data, *_CALLS)
        self.marks: Marks | None = None
        if index is not None:
            nodes = [*index.of(ast.Import), *index.of(ast.ImportFrom)]
            self.marks = self.calls.plus(node.lineno for node, _ in nodes)

    def block(self, body: list[ast.stmt], when: frozenset[When], caught: frozenset[str]) -> Iterator[Import]:
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self.imported(node, when, caught)
            elif (split := _SPLITS.get(type(node))) is not None and self.may_hold_imports(node):
                for part in split(node, when, caught):
                    yield from self.block(*part)
            if self.calls.touch(node.lineno, node.end_lineno):
                yield from self.called(node, when, caught)

    def may_hold_imports(self, node: ast.stmt) -> bool:
        return self.marks is None or self.marks.touch(node.lineno, node.end_lineno)

    def imported(
        self, node: ast.Import | ast.ImportFrom, when: frozenset[When], caught: frozenset[str]
    ) -> Iterator[Import]:
        column = self.parsed.column(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, 0, (), node.lineno, column, when, caught)
        else:
            names = tuple(alias.name for alias in node.names)
            yield Import(node.module or "", node.level, names, node.lineno, column, when, caught)

    def called(self, node: ast.stmt, when: frozenset[When], caught: frozenset[str]) -> Iterator[Import]:
        """Yield the imports by call in the expressions of one statement, not in statements within it."""
        todo = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr | ast.withitem)]
        while todo:
            child = todo.pop()
            if isinstance(child, ast.Call) and (module := _called_module(child)):
                lazy = when | {When.DYNAMIC}
                yield Import(module, 0, (), child.lineno, self.parsed.column(child), lazy, caught)
            todo.extend(item for item in ast.iter_child_nodes(child) if isinstance(item, ast.expr))


Part = tuple[list[ast.stmt], frozenset[When], frozenset[str]]


def _in_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, when: frozenset[When], caught: frozenset[str]
) -> Iterator[Part]:
    # A handler around a def does not surround its calls.
    yield node.body, (when | {When.LAZY}) - {When.GUARDED}, frozenset()


def _in_class(node: ast.ClassDef, when: frozenset[When], caught: frozenset[str]) -> Iterator[Part]:
    yield node.body, when, caught


def _in_branches(node: ast.If, when: frozenset[When], caught: frozenset[str]) -> Iterator[Part]:
    # A chain of elif is as deep as it is long in the tree: walked, not recursed into.
    rest: list[ast.stmt] = [node]
    while len(rest) == 1 and isinstance(rest[0], ast.If):
        branch = rest[0]
        yield branch.body, when | _circumstance(branch.test), caught
        if not flow.is_main_test(branch.test) and not flow.is_typing_test(branch.test):
            when = when | (_circumstance(branch.test) or {When.CONDITIONAL})
        rest = branch.orelse
    yield rest, when, caught


def _in_loop(
    node: ast.For | ast.AsyncFor | ast.While, when: frozenset[When], caught: frozenset[str]
) -> Iterator[Part]:
    yield node.body + node.orelse, when | {When.CONDITIONAL}, caught


def _in_cases(node: ast.Match, when: frozenset[When], caught: frozenset[str]) -> Iterator[Part]:
    for case in node.cases:
        yield case.body, when | {When.CONDITIONAL}, caught


def _in_with(node: ast.With | ast.AsyncWith, when: frozenset[When], caught: frozenset[str]) -> Iterator[Part]:
    yield node.body, *_guard(when, caught, flow.suppressed_by(node))


def _in_try(node: ast.Try | ast.TryStar, when: frozenset[When], caught: frozenset[str]) -> Iterator[Part]:
    yield node.body, *_guard(when, caught, flow.caught_by(node))
    rare = when | {When.CONDITIONAL}
    for handler in node.handlers:
        yield handler.body, rare, caught
    yield node.orelse, rare if node.handlers else when, caught
    yield node.finalbody, when, caught


# The blocks of a statement, with what is known about when each runs.
_SPLITS: dict[type[ast.stmt], Callable[[Any, frozenset[When], frozenset[str]], Iterator[Part]]] = {
    ast.FunctionDef: _in_function,
    ast.AsyncFunctionDef: _in_function,
    ast.ClassDef: _in_class,
    ast.If: _in_branches,
    ast.For: _in_loop,
    ast.AsyncFor: _in_loop,
    ast.While: _in_loop,
    ast.Match: _in_cases,
    ast.With: _in_with,
    ast.AsyncWith: _in_with,
    ast.Try: _in_try,
    ast.TryStar: _in_try,
}


def _circumstance(test: ast.expr) -> frozenset[When]:
    if flow.is_always(test):
        return frozenset()
    if flow.is_typing_test(test):
        return frozenset({When.TYPING})
    if flow.is_main_test(test):
        return frozenset({When.MAIN})
    if flow.is_platform_test(test):
        return frozenset({When.PLATFORM})
    return frozenset({When.CONDITIONAL})


def _guard(
    when: frozenset[When], caught: frozenset[str], more: frozenset[str]
) -> tuple[frozenset[When], frozenset[str]]:
    both = caught | more
    is_guarded = flow.is_caught("ModuleNotFoundError", both)
    return (when | {When.GUARDED} if is_guarded else when), both


def _called_module(node: ast.Call) -> str:
    if flow.dotted(node.func) not in ("importlib.import_module", "import_module", "__import__"):
        return ""
    first = node.args[0] if node.args else None
    text = first.value if isinstance(first, ast.Constant) else None
    # With a second argument the name may be relative to a package that only the run knows.
    return text if isinstance(text, str) and text.replace(".", "_").isidentifier() else ""
