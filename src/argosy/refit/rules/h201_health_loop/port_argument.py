"""Passes the port of a removed health loop to the base class.

A class that binds its own health port often computes it before it calls the base constructor, and does not
pass it on: `BaseAgent` then answers on the port after the main one. If the value has a name by then, the call
gets it as an argument.
"""

from __future__ import annotations

import ast
from typing import Final

from argosy.refit.rules.h201_health_loop.health_base import PORT_NAMES, base_constructor_call, method_of
from argosy.refit.transaction.source_change import Change, Replacement, position_of
from argosy.refit.transaction.source_view import FunctionNode, SourceView
from argosy.source.control_flow import dotted_name

PORT_KEYWORD: Final = "health_check_port"


def pass_port_to_base(view: SourceView, owner: ast.ClassDef, bound: ast.expr) -> Change | None:
    """Return the change that passes a bound port to the base; None if it is not known in time.

    bound: the port of the bind. It is known in time if it is a parameter of the constructor, or a variable
    that the constructor assigns once, in a line that every path to the call reaches; also through an
    attribute set once.
    """
    constructor = method_of(owner, "__init__")
    found = _find_base_call(constructor) if constructor is not None else None
    if constructor is None or found is None:
        return None
    call_index, call = found
    port_name = _port_name(view, owner, constructor, bound)
    if any(isinstance(each, ast.Starred) or dotted_name(each) in PORT_NAMES for each in call.args):
        return None
    if not port_name or not _is_bound_before(view, constructor, call_index, port_name):
        return None
    if any(item.arg in (None, *PORT_NAMES) for item in call.keywords):
        return None
    return _add_keyword(view, call, port_name)


def _find_base_call(constructor: FunctionNode) -> tuple[int, ast.Call] | None:
    for at, node in enumerate(constructor.body):
        if (call := base_constructor_call(node)) is not None:
            return at, call
    return None


def _port_name(view: SourceView, owner: ast.ClassDef, constructor: FunctionNode, bound: ast.expr) -> str:
    """Return the name in the constructor that has the value of a port; empty if that is not certain."""
    if isinstance(bound, ast.Name):
        return bound.id if view.enclosing_function(bound) is constructor else ""
    attribute = bound.attr if isinstance(bound, ast.Attribute) and dotted_name(bound.value) == "self" else ""
    if not attribute:
        return ""
    setters = []
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and node.attr == attribute and not isinstance(node.ctx, ast.Load):
            setters.append(view.parents[node])
        elif isinstance(node, ast.Constant) and node.value == attribute:
            return ""  # it may be set by name
    sole_setter = setters[0] if len(setters) == 1 else None
    is_plain = (
        isinstance(sole_setter, ast.Assign)
        and sole_setter in constructor.body
        and isinstance(sole_setter.value, ast.Name)
    )
    return sole_setter.value.id if is_plain else ""  # type: ignore[union-attr]


def _is_bound_before(view: SourceView, constructor: FunctionNode, call_index: int, name: str) -> bool:
    """Return whether a name has its one value before the statement `call_index` of the constructor."""
    scope = next(
        scope for scope in view.module_scope.walk() if scope.node is constructor and scope.kind == "function"
    )
    bindings = scope.bindings.get(name, ())
    if len(bindings) != 1 or any(name in inner.nonlocal_names for inner in scope.walk()):
        return False
    if bindings[0].kind == "parameter":
        return name != "self"
    return any(
        isinstance(node, ast.Assign) and any(dotted_name(target) == name for target in node.targets)
        for node in constructor.body[:call_index]
    )


def _add_keyword(view: SourceView, call: ast.Call, name: str) -> Change | None:
    """Return the change that appends a keyword argument to a call; None if the position is not certain."""
    source = ast.get_source_segment(view.python_file.text, call)
    arguments = [*call.args, *(item.value for item in call.keywords)]
    if source is None:
        return None
    if arguments:
        last = max(arguments, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0))
        own = ast.get_source_segment(view.python_file.text, last) or ""
        at = source.rfind(own) + len(own)
        modified = f"{source[:at]}, {PORT_KEYWORD}={name}{source[at:]}"
    else:
        modified = f"{source[:-1]}{PORT_KEYWORD}={name})"
    expected = ast.Call(
        call.func, call.args, [*call.keywords, ast.keyword(PORT_KEYWORD, ast.Name(name, ast.Load()))]
    )
    try:
        is_it = ast.dump(ast.parse(modified, mode="eval").body) == ast.dump(expected)
    except SyntaxError:
        return None
    return Replacement(position_of(call), ast.unparse(call), modified) if is_it else None
