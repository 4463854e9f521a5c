"""Waits for the thread of a loop: harmless after the loop was told to end, blocking before.

A daemon thread does not keep its process alive, but a main thread that joins it does while the loop runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.analysis.health.health_loops import HealthLoop
from argosy.refit.analysis.health.health_payloads import is_super_call
from argosy.refit.rules.h201_health_loop.health_base import method_of
from argosy.refit.transaction.source_view import SourceView
from argosy.source import control_flow

_CLEANUP: Final = "cleanup"  # called by the base when an agent ends


def is_harmless_join(view: SourceView, loop: HealthLoop, join: ast.Call) -> bool:
    """Return whether a join of a loop's thread only affects how long the agent takes to end.

    join: the call. Either every path to it first tells the loop to end, or it is in `cleanup` and has a
    timeout.
    """
    function = view.enclosing_function(join)
    if isinstance(function, ast.FunctionDef) and function.name == _CLEANUP and has_timeout(join):
        return True
    stop_conditions = (
        set(_stop_conditions(loop.loop.test, is_true=False)) if isinstance(loop.loop, ast.While) else set()
    )
    owner = view.enclosing_class(loop.definition)
    stop_conditions = {(name, value) for name, value in stop_conditions if not _is_property(owner, name)}
    names = {name for name, _ in stop_conditions}
    for node in _preceding_statements(view, join):
        if _tells_loop_to_end(node, stop_conditions):
            return True
        if any(
            control_flow.dotted_name(inner) in names
            for inner in ast.walk(node)
            if isinstance(inner, ast.Attribute)
        ):
            return False
    return False


def _is_property(owner: ast.ClassDef | None, name: str) -> bool:
    """Return whether a class defines an attribute of self; assigning to a property may have any effect."""
    return owner is not None and method_of(owner, name.removeprefix("self.")) is not None


def has_timeout(join: ast.Call) -> bool:
    """Return whether a `join` has a timeout."""
    arguments = [*join.args, *(item.value for item in join.keywords)]
    return len(arguments) == 1 and not (isinstance(arguments[0], ast.Constant) and arguments[0].value is None)


def _preceding_statements(view: SourceView, node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements executed on every path to a node, within its function, nearest first."""
    statement = view.enclosing_statement(node)
    while not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
        block = view.containing_block(statement)
        yield from reversed(block[: block.index(statement)] if block else ())
        parent = view.parents[statement]
        if isinstance(parent, ast.ExceptHandler):
            parent = view.parents[parent]
        if not isinstance(parent, ast.stmt):
            return
        statement = parent


def _stop_conditions(test: ast.expr, *, is_true: bool) -> Iterator[tuple[str, bool]]:
    """Yield what gives a condition the wanted value, whatever else it tests: a name and its value.

    An event is represented by its name, with whether it is set.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _stop_conditions(test.operand, is_true=not is_true)
    elif isinstance(test, ast.BoolOp):
        if isinstance(test.op, ast.Or) == is_true:
            for value in test.values:
                yield from _stop_conditions(value, is_true=is_true)
    elif isinstance(test, ast.Call):
        receiver, _, method = control_flow.dotted_name(test.func).rpartition(".")
        if receiver.startswith("self.") and method in ("is_set", "wait"):
            yield receiver, is_true
    elif control_flow.dotted_name(test).startswith("self."):
        yield control_flow.dotted_name(test), is_true


def _tells_loop_to_end(node: ast.stmt, stop_conditions: set[tuple[str, bool]]) -> bool:
    """Return whether a statement tells the loop to end."""
    if isinstance(node, ast.Assign):
        value = node.value.value if isinstance(node.value, ast.Constant) else None
        return isinstance(value, bool) and any(
            (control_flow.dotted_name(each), value) in stop_conditions for each in node.targets
        )
    call = node.value if isinstance(node, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return False
    method = call.func.attr
    if is_super_call(call.func.value) and method == _CLEANUP:
        return ("self.running", False) in stop_conditions
    return (
        method in ("set", "clear")
        and (control_flow.dotted_name(call.func.value), method == "set") in stop_conditions
    )
