"""Remaining uses of removed names that are allowed, each with its change if it needs one.

- The payload reports whether the thread that answers is alive. A peer that reads it has got an answer:
  `True`.
- A loop over a literal list ends or closes each element: the removed element is taken out.
- The base has a socket of the same name, and the code only tests whether it exists.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from argosy.refit.analysis.health.health_loops import HealthLoop
from argosy.refit.analysis.health.health_payloads import HEALTH_HOOK
from argosy.refit.rules.h201_health_loop.resource_lists import removable_elements, remove_element
from argosy.refit.transaction.source_change import Change, Replacement, position_of
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name


class RemainingReferences(msgspec.Struct, frozen=True):
    """The allowed uses.

    resolved_nodes: by `id`, the nodes that `changes` replaces and those that need no change.
    """

    changes: tuple[Change, ...]
    resolved_nodes: frozenset[int]


def find_remaining_references(
    view: SourceView, owner: ast.ClassDef, loop: HealthLoop, handle: str, socket: str, base_socket: str
) -> RemainingReferences:
    """Return the allowed uses of a removed thread handle and socket, both as `self.name` or empty.

    base_socket: the socket of the base.
    """
    changes: list[Change] = []
    nodes: set[int] = set()
    for alive_expression in _alive_expressions(owner, handle):
        changes.append(Replacement(position_of(alive_expression), ast.unparse(alive_expression), "True"))
        nodes.update(id(node) for node in ast.walk(alive_expression))
    for parent, element in removable_elements(view, owner, loop, {handle, socket} - {""}):
        changes.append(remove_element(view, parent, element))
        nodes.update(id(node) for node in ast.walk(element))
    if socket and socket == base_socket:
        nodes.update(id(node) for node in _existence_tests(view, owner, socket))
    return RemainingReferences(tuple(changes), frozenset(nodes))


# -- the payload -------------------------------------------------------------------------------------


def _alive_expressions(owner: ast.ClassDef, handle: str) -> Iterator[ast.expr]:
    """Yield the expressions of a payload that test whether the thread with this handle is alive."""
    if not handle.startswith("self."):
        return
    pending: list[ast.AST] = [
        node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == HEALTH_HOOK
    ]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.expr) and _is_alive(node, handle):
                yield node
            else:
                pending.append(node)


def _is_alive(node: ast.expr, handle: str) -> bool:
    """Return whether an expression is `handle.is_alive()`, with or without a test of the handle before it."""
    if isinstance(node, ast.IfExp):
        is_no = isinstance(node.orelse, ast.Constant) and not node.orelse.value
        return is_no and _tests_existence(node.test, handle) and _is_alive(node.body, handle)
    if isinstance(node, ast.BoolOp):
        *tests, last = node.values
        is_and = isinstance(node.op, ast.And)
        return is_and and all(_tests_existence(each, handle) for each in tests) and _is_alive(last, handle)
    is_call = isinstance(node, ast.Call) and not node.args and not node.keywords
    return is_call and dotted_name(node.func) == f"{handle}.is_alive"  # type: ignore[attr-defined]


def _tests_existence(node: ast.expr, name: str) -> bool:
    """Return whether an expression only tests whether `self.name` exists."""
    if isinstance(node, ast.BoolOp):
        return isinstance(node.op, ast.And) and all(_tests_existence(each, name) for each in node.values)
    if isinstance(node, ast.Call):
        return _is_hasattr(node, name)
    if isinstance(node, ast.Compare):
        is_none = isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None
        return is_none and isinstance(node.ops[0], ast.IsNot) and dotted_name(node.left) == name
    return dotted_name(node) == name


def _is_hasattr(node: ast.AST, name: str) -> bool:
    if not (isinstance(node, ast.Call) and dotted_name(node.func) == "hasattr" and len(node.args) == 2):
        return False
    receiver, attribute = node.args
    return isinstance(attribute, ast.Constant) and f"{dotted_name(receiver)}.{attribute.value!s}" == name


# -- the base's socket -------------------------------------------------------------------------------


def _existence_tests(view: SourceView, owner: ast.ClassDef, socket: str) -> Iterator[ast.AST]:
    """Yield the tests whether the socket exists; the base's socket answers them after the removal."""
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and dotted_name(node) == socket:
            if isinstance(node.ctx, ast.Load) and _is_condition(view, node):
                yield node
        elif isinstance(node, ast.Call) and _is_hasattr(node, socket):
            yield node.args[1]


def _is_condition(view: SourceView, node: ast.expr) -> bool:
    """Return whether a value is only a condition, or a part of one."""
    parent = view.parents[node]
    if isinstance(parent, ast.BoolOp) or (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not)):
        return _is_condition(view, parent)
    if isinstance(parent, ast.If | ast.While | ast.IfExp):
        return parent.test is node
    is_none = isinstance(parent, ast.Compare) and isinstance(parent.ops[0], ast.Is | ast.IsNot)
    return is_none and isinstance(parent.comparators[0], ast.Constant)  # type: ignore[attr-defined]
