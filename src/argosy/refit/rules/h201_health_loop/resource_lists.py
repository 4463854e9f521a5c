"""Lists of threads and sockets that are only iterated over to start and end their elements.

Removing one element from such a list has no other effect.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Final, TypeGuard

import msgspec

from argosy.refit.analysis.ast_queries import call_arguments, is_none_literal
from argosy.refit.analysis.health.health_loops import HealthLoop
from argosy.refit.analysis.health.health_payloads import is_super_call
from argosy.refit.rules.h201_health_loop.health_base import method_of
from argosy.refit.rules.h201_health_loop.side_effects import (
    has_pure_arguments,
    is_log_call,
    is_side_effect_free,
)
from argosy.refit.rules.h201_health_loop.type_inference import TypeInference
from argosy.refit.transaction.source_change import Change, Replacement, position_of
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name

_CLEANUP_CALLS: Final = frozenset({"close", "join", "is_alive", "setsockopt", "term", "disable_monitor"})


class _ListUses(msgspec.Struct, frozen=True):
    """The uses of a list: the loops over it, and the attributes of self that keep it."""

    loops: list[ast.For]
    attributes: set[str]


def removable_elements(
    view: SourceView, owner: ast.ClassDef, loop: HealthLoop, names: set[str]
) -> Iterator[tuple[ast.List | ast.Tuple, ast.expr]]:
    """Yield the elements that are one of `names`, with their lists, if loops only end the elements."""
    for node in ast.walk(owner):
        if not (isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load)):
            continue
        found = [each for each in node.elts if dotted_name(each) in names]
        is_enough = len(node.elts) > (1 if isinstance(node, ast.List) else 2)
        uses = _list_uses(view, node) if len(found) == 1 and is_enough else None
        is_plain = uses is not None and bool(uses.loops) and not uses.attributes
        if (
            uses
            and is_plain
            and all(_only_cleans_up(view, loop, each, _CLEANUP_CALLS) for each in uses.loops)
        ):
            yield node, found[0]


def holding_attributes(view: SourceView, loop: HealthLoop, thread_list: ast.List) -> set[str] | str:
    """Return the attributes of self that keep the list in which a loop's thread is created.

    A string is the reason why the thread cannot be removed from the list.
    """
    uses = _list_uses(view, thread_list) if len(thread_list.elts) > 1 else None
    calls = _CLEANUP_CALLS | {"start"}
    if uses and uses.loops and all(_only_cleans_up(view, loop, each, calls) for each in uses.loops):
        return uses.attributes
    return "its thread is in a list that is not only iterated over to start and end its elements"


def _list_uses(view: SourceView, node: ast.List | ast.Tuple) -> _ListUses | None:
    """Return the loops over a list and the attributes that keep it; None if it is used in any other way."""
    found = _ListUses([], set())
    todo: list[ast.expr] = [node]
    while todo:
        use = todo.pop()
        parent = view.parents[use]
        if isinstance(parent, ast.For) and parent.iter is use:
            found.loops.append(parent)
        elif isinstance(parent, ast.Assign) and len(parent.targets) == 1 and parent.value is use:
            name = dotted_name(parent.targets[0])
            more = _other_uses(view, parent, name)
            if more is None:
                return None
            todo += more
            found.attributes.update({name.removeprefix("self.")} if name.startswith("self.") else ())
        elif not _is_logged_length(view, parent):
            return None
    return found


def _other_uses(view: SourceView, assignment: ast.Assign, name: str) -> list[ast.expr] | None:
    """Return the other uses of the name that a statement assigns a list to; None if not all are visible."""
    function = view.enclosing_function(assignment)
    within = view.nodes if name.startswith("self.") else ast.walk(function) if function is not None else ()
    if not (name.removeprefix("self.").isidentifier() and within):
        return None
    found: list[ast.expr] = []
    for use in within:
        if not isinstance(use, ast.Name | ast.Attribute) or use is assignment.targets[0]:
            continue
        # An attribute of that name of another object may be the same.
        if (use.id if isinstance(use, ast.Name) else f"self.{use.attr}") != name:
            continue
        parent = view.parents[use]
        if not (isinstance(parent, ast.Assign) and use in parent.targets and _is_empty_value(parent.value)):
            found.append(use)
    return found


def _is_logged_length(view: SourceView, node: ast.AST) -> bool:
    """Return whether a use is the length of the list in a log call."""
    if not (isinstance(node, ast.Call) and dotted_name(node.func) == "len"):
        return False
    statement = view.enclosing_statement(node)
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and is_log_call(TypeInference(view), call)


def _is_empty_value(node: ast.expr) -> bool:
    return is_none_literal(node) or (isinstance(node, ast.List) and not node.elts)


def _only_cleans_up(view: SourceView, loop: HealthLoop, loop_over: ast.For, calls: Collection[str]) -> bool:
    """Return whether a loop over threads or sockets only ends each of them, or makes the calls in `calls`.

    Then one element less has no other effect. loop: the health loop whose thread may be joined.
    """
    name, types = dotted_name(loop_over.target), TypeInference(view)
    if (
        not name.isidentifier()
        or loop_over.orelse
        or not all(_is_cleanup_statement(types, node, name, calls) for node in loop_over.body)
    ):
        return False
    return all(
        is_harmless_join(view, loop, call) for call in ast.walk(loop_over) if _is_join_call(call, name)
    )


def _is_join_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and dotted_name(node.func) == f"{name}.join"


def _is_cleanup_statement(types: TypeInference, node: ast.stmt, name: str, calls: Collection[str]) -> bool:
    if isinstance(node, ast.If):
        inner = (*node.body, *node.orelse)
        # The removed element is a thread or a socket; the tests of the others remain.
        is_test_pure = is_side_effect_free(types, node.test, {f"{name}.is_alive"})
        return is_test_pure and all(_is_cleanup_statement(types, each, name, calls) for each in inner)
    if isinstance(node, ast.Try):
        handled = [each for handler in node.handlers for each in handler.body]
        inner = (*node.body, *node.orelse, *node.finalbody, *handled)
        return all(_is_cleanup_statement(types, each, name, calls) for each in inner)
    if isinstance(node, ast.Pass | ast.Continue):
        return True
    if isinstance(node, ast.Assign):
        return [dotted_name(each) for each in node.targets] == [f"{name}.daemon"] and is_side_effect_free(
            types, node.value
        )
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    receiver, _, method = dotted_name(node.value.func).rpartition(".")
    is_end = receiver == name and method in calls and has_pure_arguments(types, node.value)
    return is_end or is_log_call(types, node.value)


def remove_element(view: SourceView, collection: ast.List | ast.Tuple, element: ast.expr) -> Change:
    """Return the change that removes one element from a list of several.

    If the element alone cannot be cut from the text, the list is rewritten.
    """
    remaining = [each for each in collection.elts if each is not element]
    expected = ast.unparse(type(collection)(remaining, ast.Load()))
    segment = ast.get_source_segment(view.python_file.text, collection) or ""
    element_source = ast.get_source_segment(view.python_file.text, element) or ""
    at = segment.find(element_source)
    while at >= 0:
        text = _join_around_element(segment[:at], segment[at + len(element_source) :])
        if _normalized(text) == expected:
            return Replacement(position_of(collection), ast.unparse(collection), text)
        at = segment.find(element_source, at + 1)
    return Replacement(position_of(collection), ast.unparse(collection), expected)


def _join_around_element(before: str, after: str) -> str:
    is_last = not after.lstrip().startswith(",")
    return before.rstrip().removesuffix(",") + after if is_last else before + after.lstrip()[1:].lstrip()


def _normalized(text: str) -> str:
    try:
        return ast.unparse(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return ""


# -- waits for the thread ----------------------------------------------------------------------------


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
        if any(dotted_name(inner) in names for inner in ast.walk(node) if isinstance(inner, ast.Attribute)):
            return False
    return False


def _is_property(owner: ast.ClassDef | None, name: str) -> bool:
    """Return whether a class defines an attribute of self; assigning to a property may have any effect."""
    return owner is not None and method_of(owner, name.removeprefix("self.")) is not None


def has_timeout(join: ast.Call) -> bool:
    """Return whether a `join` has a timeout."""
    arguments = call_arguments(join)
    return len(arguments) == 1 and not is_none_literal(arguments[0])


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
        receiver, _, method = dotted_name(test.func).rpartition(".")
        if receiver.startswith("self.") and method in ("is_set", "wait"):
            yield receiver, is_true
    elif dotted_name(test).startswith("self."):
        yield dotted_name(test), is_true


def _tells_loop_to_end(node: ast.stmt, stop_conditions: set[tuple[str, bool]]) -> bool:
    """Return whether a statement tells the loop to end."""
    if isinstance(node, ast.Assign):
        value = node.value.value if isinstance(node.value, ast.Constant) else None
        return isinstance(value, bool) and any(
            (dotted_name(each), value) in stop_conditions for each in node.targets
        )
    call = node.value if isinstance(node, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return False
    method = call.func.attr
    if is_super_call(call.func.value) and method == _CLEANUP:
        return ("self.running", False) in stop_conditions
    return method in ("set", "clear") and (dotted_name(call.func.value), method == "set") in stop_conditions
