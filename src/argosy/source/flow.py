"""What surely runs, and what only may: the shapes of control flow that several readers ask about."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.source.text import Marks

ANYTHING = "BaseException"

_EXITS = frozenset({"exit", "quit", "sys.exit", "os._exit"})
_ROOTS = {
    "ImportError": "Exception",
    "ModuleNotFoundError": "ImportError",
    "NameError": "Exception",
    "SyntaxError": "Exception",
    "Exception": ANYTHING,
}


def statements(body: list[ast.stmt], marks: Marks) -> Iterator[ast.stmt]:
    """Yield the statements of `body` on the lines that are marked, and those within them, in their order."""
    todo: list[ast.AST] = list(reversed(body))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            if not marks.touch(node.lineno, node.end_lineno):
                continue
            yield node
        for field in ("finalbody", "orelse", "handlers", "cases", "body"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                todo.extend(reversed(inner))


def is_caught(error: str, caught: frozenset[str]) -> bool:
    """Return whether a handler of one of `caught` stops `error`, itself or as one of its bases."""
    name: str | None = error
    while name is not None:
        if name in caught:
            return True
        name = _ROOTS.get(name)
    return False


def caught_by(node: ast.Try | ast.TryStar) -> frozenset[str]:
    """Return the exceptions after which the program goes on; a handler that exits or raises stops none."""
    names: set[str] = set()
    for handler in node.handlers:
        if not ends(handler.body):
            names.update(_exception_names(handler.type))
    return frozenset(names)


def suppressed_by(node: ast.With | ast.AsyncWith) -> frozenset[str]:
    """Return the exceptions that a `with contextlib.suppress(...)` swallows."""
    names: set[str] = set()
    for item in node.items:
        call = item.context_expr
        if isinstance(call, ast.Call) and dotted(call.func).split(".")[-1] == "suppress":
            for argument in call.args:
                names.update(_exception_names(argument))
    return frozenset(names)


def ends(body: list[ast.stmt]) -> bool:
    """Return whether the last statement leaves for good: raises, or ends the process."""
    return bool(body) and is_end(body[-1])


def is_end(node: ast.stmt) -> bool:
    """Return whether nothing after `node` runs: it raises or ends the process, on every path through it."""
    if isinstance(node, ast.Raise):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return dotted(node.value.func) in _EXITS
    if isinstance(node, ast.If):
        return _all_branches_end(node)
    if isinstance(node, ast.Try | ast.TryStar):
        is_left = ends(node.body) or ends(node.orelse)
        return ends(node.finalbody) or (is_left and all(ends(handler.body) for handler in node.handlers))
    return isinstance(node, ast.With | ast.AsyncWith) and ends(node.body) and not suppressed_by(node)


def _all_branches_end(node: ast.If) -> bool:
    # A chain of elif is as deep as it is long in the tree: walked, not recursed into.
    while ends(node.body):
        if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
            return ends(node.orelse)
        node = node.orelse[0]
    return False


def is_main_test(test: ast.expr) -> bool:
    """Return whether `test` is `__name__ == "__main__"`."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = (test.left, test.comparators[0])
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def is_never(test: ast.expr) -> bool:
    """Return whether `test` is false in every run: a false constant, or TYPE_CHECKING."""
    return (isinstance(test, ast.Constant) and not test.value) or is_typing_test(test)


def is_always(test: ast.expr) -> bool:
    """Return whether `test` is true in every run."""
    return isinstance(test, ast.Constant) and bool(test.value)


def is_typing_test(test: ast.expr) -> bool:
    """Return whether `test` is TYPE_CHECKING, by whichever way it was imported."""
    return dotted(test).split(".")[-1] == "TYPE_CHECKING"


def is_platform_test(test: ast.expr) -> bool:
    """Return whether `test` asks for the operating system."""
    for node in ast.walk(test):
        if isinstance(node, ast.Attribute) and dotted(node) in (
            "sys.platform",
            "os.name",
            "platform.system",
        ):
            return True
    return False


def dotted(node: ast.expr | None) -> str:
    """Return `a.b.c` for a chain of names, or an empty text for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    parts.append(node.id)
    return ".".join(reversed(parts))


def _exception_names(node: ast.expr | None) -> list[str]:
    if node is None:
        return [ANYTHING]
    if isinstance(node, ast.Tuple):
        return [dotted(item).split(".")[-1] for item in node.elts]
    return [dotted(node).split(".")[-1]]
