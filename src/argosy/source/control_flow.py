"""Predicates about control flow in a syntax tree: exits, handlers, constant tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.source.python_source import LineMarks

ANY_EXCEPTION = "BaseException"

_EXIT_CALLS = frozenset({"exit", "quit", "sys.exit", "os._exit"})
_BASE_EXCEPTIONS = {
    "ImportError": "Exception",
    "ModuleNotFoundError": "ImportError",
    "NameError": "Exception",
    "SyntaxError": "Exception",
    "Exception": ANY_EXCEPTION,
}


def marked_statements(body: list[ast.stmt], marks: LineMarks) -> Iterator[ast.stmt]:
    """Yield the statements of `body` on marked lines, including nested ones, in source order."""
    todo: list[ast.AST] = list(reversed(body))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            if not marks.is_marked(node.lineno, node.end_lineno):
                continue
            yield node
        for field in ("finalbody", "orelse", "handlers", "cases", "body"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                todo.extend(reversed(inner))


def is_caught(error: str, caught: frozenset[str]) -> bool:
    """Return whether a handler of one of `caught` catches `error` or one of its base classes."""
    name: str | None = error
    while name is not None:
        if name in caught:
            return True
        name = _BASE_EXCEPTIONS.get(name)
    return False


def caught_by(node: ast.Try | ast.TryStar) -> frozenset[str]:
    """Return the exceptions after which the program continues; handlers that exit or raise do not count."""
    names: set[str] = set()
    for handler in node.handlers:
        if not always_exits(handler.body):
            names.update(_exception_names(handler.type))
    return frozenset(names)


def suppressed_by(node: ast.With | ast.AsyncWith) -> frozenset[str]:
    """Return the exceptions that a `with contextlib.suppress(...)` suppresses."""
    names: set[str] = set()
    for item in node.items:
        call = item.context_expr
        if isinstance(call, ast.Call) and dotted_name(call.func).split(".")[-1] == "suppress":
            for argument in call.args:
                names.update(_exception_names(argument))
    return frozenset(names)


def always_exits(body: list[ast.stmt]) -> bool:
    """Return whether the last statement raises or ends the process."""
    return bool(body) and is_exit(body[-1])


def is_exit(node: ast.stmt) -> bool:
    """Return whether every path through `node` raises or ends the process."""
    if isinstance(node, ast.Raise):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return dotted_name(node.value.func) in _EXIT_CALLS
    if isinstance(node, ast.If):
        return _all_branches_exit(node)
    if isinstance(node, ast.Try | ast.TryStar):
        has_exit = always_exits(node.body) or always_exits(node.orelse)
        return always_exits(node.finalbody) or (
            has_exit and all(always_exits(handler.body) for handler in node.handlers)
        )
    return isinstance(node, ast.With | ast.AsyncWith) and always_exits(node.body) and not suppressed_by(node)


def _all_branches_exit(node: ast.If) -> bool:
    # A long chain of elif is deeply nested in the tree, so it is walked without recursion.
    while always_exits(node.body):
        if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
            return always_exits(node.orelse)
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


def is_always_false(test: ast.expr) -> bool:
    """Return whether `test` is false in every run: a false constant, or TYPE_CHECKING."""
    return (isinstance(test, ast.Constant) and not test.value) or is_typing_test(test)


def is_always_true(test: ast.expr) -> bool:
    """Return whether `test` is true in every run."""
    return isinstance(test, ast.Constant) and bool(test.value)


def is_typing_test(test: ast.expr) -> bool:
    """Return whether `test` is TYPE_CHECKING, however it was imported."""
    return dotted_name(test).split(".")[-1] == "TYPE_CHECKING"


def is_platform_test(test: ast.expr) -> bool:
    """Return whether `test` checks the operating system."""
    for node in ast.walk(test):
        if isinstance(node, ast.Attribute) and dotted_name(node) in (
            "sys.platform",
            "os.name",
            "platform.system",
        ):
            return True
    return False


def dotted_name(node: ast.expr | None) -> str:
    """Return `a.b.c` for a chain of names, else an empty string."""
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
        return [ANY_EXCEPTION]
    if isinstance(node, ast.Tuple):
        return [dotted_name(item).split(".")[-1] for item in node.elts]
    return [dotted_name(node).split(".")[-1]]
