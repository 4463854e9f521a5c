"""Where a program waits for the thread of a loop: a pause once the loop is told to end, a hold before it.

A daemon thread does not keep its process alive, but a main thread that joins it does, while the loop turns.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.health.loops import HealthLoop
from argosy.refit.health.payloads import is_super
from argosy.refit.rewrite.health.standard import method_of
from argosy.refit.rewrite.view import View
from argosy.source import flow

_CLEANUP: Final = "cleanup"  # what the base runs at the end of an agent


def is_pause(view: View, loop: HealthLoop, join: ast.Call) -> bool:
    """Return whether on a wait for a loop's thread hangs nothing but how long the end of the agent takes.

    join: the call. The loop was told to end on every way to it, or it is of limited time, in `cleanup`.
    """
    function = view.function(join)
    if isinstance(function, ast.FunctionDef) and function.name == _CLEANUP and is_limited(join):
        return True
    signs = set(_signs(loop.loop.test, is_true=False)) if isinstance(loop.loop, ast.While) else set()
    owner = view.class_(loop.place)
    signs = {(name, value) for name, value in signs if not _is_defined(owner, name)}
    names = {name for name, _ in signs}
    for node in _before(view, join):
        if _ends(node, signs):
            return True
        if any(flow.dotted(inner) in names for inner in ast.walk(node) if isinstance(inner, ast.Attribute)):
            return False
    return False


def _is_defined(owner: ast.ClassDef | None, name: str) -> bool:
    """Return whether a class defines an attribute of self: a property takes what it is given as it likes."""
    return owner is not None and method_of(owner, name.removeprefix("self.")) is not None


def is_limited(join: ast.Call) -> bool:
    """Return whether a `join` has a time-out."""
    given = [*join.args, *(item.value for item in join.keywords)]
    return len(given) == 1 and not (isinstance(given[0], ast.Constant) and given[0].value is None)


def _before(view: View, node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements that were run on every way to a node, within its function, the nearest first."""
    statement = view.statement(node)
    while not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
        block = view.block(statement)
        yield from reversed(block[: block.index(statement)] if block else ())
        around = view.parents[statement]
        if isinstance(around, ast.ExceptHandler):
            around = view.parents[around]
        if not isinstance(around, ast.stmt):
            return
        statement = around


def _signs(test: ast.expr, *, is_true: bool) -> Iterator[tuple[str, bool]]:
    """Yield what makes a condition come out as wanted, whatever else it asks: a name and its value.

    An event stands by its name, with whether it is set.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _signs(test.operand, is_true=not is_true)
    elif isinstance(test, ast.BoolOp):
        if isinstance(test.op, ast.Or) == is_true:
            for value in test.values:
                yield from _signs(value, is_true=is_true)
    elif isinstance(test, ast.Call):
        held, _, method = flow.dotted(test.func).rpartition(".")
        if held.startswith("self.") and method in ("is_set", "wait"):
            yield held, is_true
    elif flow.dotted(test).startswith("self."):
        yield flow.dotted(test), is_true


def _ends(node: ast.stmt, signs: set[tuple[str, bool]]) -> bool:
    """Return whether a statement tells the loop to end."""
    if isinstance(node, ast.Assign):
        value = node.value.value if isinstance(node.value, ast.Constant) else None
        return isinstance(value, bool) and any((flow.dotted(each), value) in signs for each in node.targets)
    call = node.value if isinstance(node, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return False
    method = call.func.attr
    if is_super(call.func.value) and method == _CLEANUP:
        return ("self.running", False) in signs
    return method in ("set", "clear") and (flow.dotted(call.func.value), method == "set") in signs
