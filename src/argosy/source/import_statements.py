"""Finds the imports of a file, with their position and the conditions under which they run."""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from argosy.source import control_flow
from argosy.source.binder import NodeIndex
from argosy.source.python_parser import Parsed
from argosy.source.python_source import LineMarks, find_marked_lines


class ImportCondition(enum.StrEnum):
    """A condition of an import; an import without conditions runs whenever its module is loaded."""

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
    names: the names imported with `from`; empty for a plain `import`.
    line, column: the start of the statement, counted from 1.
    caught: the exceptions that enclosing handlers catch.
    """

    module: str
    level: int
    names: tuple[str, ...]
    line: int
    column: int
    conditions: frozenset[ImportCondition] = frozenset()
    caught: frozenset[str] = frozenset()

    @property
    def is_star(self) -> bool:
        return self.names == ("*",)

    def written_name(self) -> str:
        """Return the module's name with its leading dots."""
        return "." * self.level + self.module


def find_imports(parsed: Parsed, index: NodeIndex | None = None) -> tuple[Import, ...]:
    """Return the imports of a file, in line order.

    index: filled by `find_scopes`; lets the walk skip statements without imports.
    """
    found = list(_ImportCollector(parsed, index).block(parsed.tree.body, frozenset(), frozenset()))
    return tuple(sorted(found, key=lambda item: (item.line, item.column)))


_IMPORT_CALL_PATTERNS = (re.compile(b"import_module"), re.compile(b"__import__"))


class _ImportCollector:
    """Walks the statements once; expressions are visited only on lines with an import call."""

    def __init__(self, parsed: Parsed, index: NodeIndex | None) -> None:
        self.parsed = parsed
        self.calls = find_marked_lines(parsed.source.data, *_IMPORT_CALL_PATTERNS)
        self.marks: LineMarks | None = None
        if index is not None:
            nodes = [*index.of_type(ast.Import), *index.of_type(ast.ImportFrom)]
            self.marks = self.calls.with_lines(node.lineno for node, _ in nodes)

    def block(
        self, body: list[ast.stmt], conditions: frozenset[ImportCondition], caught: frozenset[str]
    ) -> Iterator[Import]:
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self.import_statement(node, conditions, caught)
            elif (split := _BLOCK_SPLITTERS.get(type(node))) is not None and self.can_contain_imports(node):
                for part in split(node, conditions, caught):
                    yield from self.block(*part)
            if self.calls.is_marked(node.lineno, node.end_lineno):
                yield from self.import_calls(node, conditions, caught)

    def can_contain_imports(self, node: ast.stmt) -> bool:
        return self.marks is None or self.marks.is_marked(node.lineno, node.end_lineno)

    def import_statement(
        self,
        node: ast.Import | ast.ImportFrom,
        conditions: frozenset[ImportCondition],
        caught: frozenset[str],
    ) -> Iterator[Import]:
        column = self.parsed.column(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, 0, (), node.lineno, column, conditions, caught)
        else:
            names = tuple(alias.name for alias in node.names)
            yield Import(node.module or "", node.level, names, node.lineno, column, conditions, caught)

    def import_calls(
        self, node: ast.stmt, conditions: frozenset[ImportCondition], caught: frozenset[str]
    ) -> Iterator[Import]:
        """Yield the import calls in the expressions of one statement, without nested statements."""
        todo = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr | ast.withitem)]
        while todo:
            child = todo.pop()
            if isinstance(child, ast.Call) and (module := _module_of_call(child)):
                lazy = conditions | {ImportCondition.DYNAMIC}
                yield Import(module, 0, (), child.lineno, self.parsed.column(child), lazy, caught)
            todo.extend(item for item in ast.iter_child_nodes(child) if isinstance(item, ast.expr))


Block = tuple[list[ast.stmt], frozenset[ImportCondition], frozenset[str]]


def _in_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    conditions: frozenset[ImportCondition],
    caught: frozenset[str],
) -> Iterator[Block]:
    # A handler around a def does not apply to calls of the function.
    yield node.body, (conditions | {ImportCondition.LAZY}) - {ImportCondition.GUARDED}, frozenset()


def _in_class(
    node: ast.ClassDef, conditions: frozenset[ImportCondition], caught: frozenset[str]
) -> Iterator[Block]:
    yield node.body, conditions, caught


def _in_branches(
    node: ast.If, conditions: frozenset[ImportCondition], caught: frozenset[str]
) -> Iterator[Block]:
    # A long chain of elif is deeply nested in the tree, so it is walked without recursion.
    rest: list[ast.stmt] = [node]
    while len(rest) == 1 and isinstance(rest[0], ast.If):
        branch = rest[0]
        yield branch.body, conditions | _condition_of(branch.test), caught
        if not control_flow.is_main_test(branch.test) and not control_flow.is_typing_test(branch.test):
            conditions = conditions | (_condition_of(branch.test) or {ImportCondition.CONDITIONAL})
        rest = branch.orelse
    yield rest, conditions, caught


def _in_loop(
    node: ast.For | ast.AsyncFor | ast.While, conditions: frozenset[ImportCondition], caught: frozenset[str]
) -> Iterator[Block]:
    yield node.body + node.orelse, conditions | {ImportCondition.CONDITIONAL}, caught


def _in_cases(
    node: ast.Match, conditions: frozenset[ImportCondition], caught: frozenset[str]
) -> Iterator[Block]:
    for case in node.cases:
        yield case.body, conditions | {ImportCondition.CONDITIONAL}, caught


def _in_with(
    node: ast.With | ast.AsyncWith, conditions: frozenset[ImportCondition], caught: frozenset[str]
) -> Iterator[Block]:
    yield node.body, *_guarded_conditions(conditions, caught, control_flow.suppressed_by(node))


def _in_try(
    node: ast.Try | ast.TryStar, conditions: frozenset[ImportCondition], caught: frozenset[str]
) -> Iterator[Block]:
    yield node.body, *_guarded_conditions(conditions, caught, control_flow.caught_by(node))
    rare = conditions | {ImportCondition.CONDITIONAL}
    for handler in node.handlers:
        yield handler.body, rare, caught
    yield node.orelse, rare if node.handlers else conditions, caught
    yield node.finalbody, conditions, caught


# The blocks of a statement, each with its conditions and caught exceptions.
_BLOCK_SPLITTERS: dict[
    type[ast.stmt], Callable[[Any, frozenset[ImportCondition], frozenset[str]], Iterator[Block]]
] = {
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


def _condition_of(test: ast.expr) -> frozenset[ImportCondition]:
    if control_flow.is_always_true(test):
        return frozenset()
    if control_flow.is_typing_test(test):
        return frozenset({ImportCondition.TYPING})
    if control_flow.is_main_test(test):
        return frozenset({ImportCondition.MAIN})
    if control_flow.is_platform_test(test):
        return frozenset({ImportCondition.PLATFORM})
    return frozenset({ImportCondition.CONDITIONAL})


def _guarded_conditions(
    conditions: frozenset[ImportCondition], caught: frozenset[str], added: frozenset[str]
) -> tuple[frozenset[ImportCondition], frozenset[str]]:
    both = caught | added
    is_guarded = control_flow.is_caught("ModuleNotFoundError", both)
    return (conditions | {ImportCondition.GUARDED} if is_guarded else conditions), both


def _module_of_call(node: ast.Call) -> str:
    if control_flow.dotted_name(node.func) not in ("importlib.import_module", "import_module", "__import__"):
        return ""
    first = node.args[0] if node.args else None
    text = first.value if isinstance(first, ast.Constant) else None
    # With a second argument the name may be relative to a package known only at run time.
    return text if isinstance(text, str) and text.replace(".", "_").isidentifier() else ""


_NAME = r"[^\W\d]\w*"
_DOTTED_NAME = rf"{_NAME}(?:\.{_NAME})*"
_ALIASED_MODULE = rf"{_DOTTED_NAME}(?:[ \t]+as[ \t]+{_NAME})?"
_IMPORTED_NAME = rf"{_NAME}(?:[ \t]+as[ \t]+{_NAME})?"
_FROM = re.compile(
    rf"^(?P<margin>[ \t]*)from[ \t]+(?P<dots>\.*)[ \t]*(?P<module>{_DOTTED_NAME})?[ \t]+import[ \t]*"
    rf"(?P<names>\*|\([^()]*\)|{_IMPORTED_NAME}(?:[ \t]*,[ \t]*{_IMPORTED_NAME})*|)",
    re.MULTILINE,
)
_PLAIN = re.compile(
    rf"^(?P<margin>[ \t]*)import[ \t]+(?P<names>{_ALIASED_MODULE}(?:[ \t]*,[ \t]*{_ALIASED_MODULE})*)"
    r"[ \t]*(?:[;#].*)?\r?$",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")


def scan_imports(text: str) -> tuple[Import, ...]:
    """Return the imports at the beginning of lines; an indented one is conditional."""
    found: list[Import] = []
    for match in _FROM.finditer(text):
        if match["dots"] or match["module"]:
            found.append(
                _make_import(
                    text, match, match["module"] or "", len(match["dots"]), _parse_names(match["names"])
                )
            )
    for match in _PLAIN.finditer(text):
        found += [_make_import(text, match, part.split()[0], 0, ()) for part in match["names"].split(",")]
    return tuple(sorted(found, key=lambda item: (item.line, item.column)))


def _make_import(text: str, match: re.Match[str], module: str, level: int, names: tuple[str, ...]) -> Import:
    margin = match["margin"]
    line = text.count("\n", 0, match.start()) + 1
    conditions = frozenset({ImportCondition.CONDITIONAL}) if margin else frozenset()
    return Import(module, level, names, line, len(margin) + 1, conditions)


def _parse_names(text: str) -> tuple[str, ...]:
    parts = _COMMENT.sub("", text).strip("() \t").split(",")
    return tuple(part.split()[0] for part in parts if part.strip())
