"""The port of a health loop, handed to the base in whose place it was bound.

A class that binds a health port of its own has often worked it out before it calls its base, and calls that
without one: `BaseAgent` then answers on the port after the main one. Where the value has a name by then, the
call is given it.
"""

from __future__ import annotations

import ast
from typing import Final

from argosy.refit.rewrite.change import Change, Replaced, place_of
from argosy.refit.rewrite.health.standard import PORT_NAMES, base_call, method_of
from argosy.refit.rewrite.view import Function, View
from argosy.source import flow

KEYWORD: Final = "health_check_port"


def hand_port(view: View, owner: ast.ClassDef, bound: ast.expr) -> Change | None:
    """Return the change that gives the base what a socket was bound to; None where it is not known in time.

    bound: the port of the bind. Known in time is a parameter of the constructor, or a name that it gives a
    value once, in a line that is reached on every way to the call; also by way of an attribute set once.
    """
    made = method_of(owner, "__init__")
    found = _base_call(made) if made is not None else None
    if made is None or found is None:
        return None
    at, call = found
    name = _name_of(view, owner, made, bound)
    if any(isinstance(each, ast.Starred) or flow.dotted(each) in PORT_NAMES for each in call.args):
        return None
    if not name or not _is_known(view, made, at, name):
        return None
    if any(item.arg in (None, *PORT_NAMES) for item in call.keywords):
        return None
    return _with_keyword(view, call, name)


def _base_call(made: Function) -> tuple[int, ast.Call] | None:
    for at, node in enumerate(made.body):
        if (call := base_call(node)) is not None:
            return at, call
    return None


def _name_of(view: View, owner: ast.ClassDef, made: Function, bound: ast.expr) -> str:
    """Return the name in the constructor that a port is the value of; empty where that is not certain."""
    if isinstance(bound, ast.Name):
        return bound.id if view.function(bound) is made else ""
    attribute = bound.attr if isinstance(bound, ast.Attribute) and flow.dotted(bound.value) == "self" else ""
    if not attribute:
        return ""
    setters = []
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and node.attr == attribute and not isinstance(node.ctx, ast.Load):
            setters.append(view.parents[node])
        elif isinstance(node, ast.Constant) and node.value == attribute:
            return ""  # it may be set by its name
    only = setters[0] if len(setters) == 1 else None
    is_plain = isinstance(only, ast.Assign) and only in made.body and isinstance(only.value, ast.Name)
    return only.value.id if is_plain else ""  # type: ignore[union-attr]


def _is_known(view: View, made: Function, at: int, name: str) -> bool:
    """Return whether a name has its one value before the statement number `at` of the constructor."""
    scope = next(scope for scope in view.module.walk() if scope.node is made and scope.kind == "function")
    bindings = scope.bindings.get(name, ())
    if len(bindings) != 1 or any(name in inner.nonlocal_names for inner in scope.walk()):
        return False
    if bindings[0].how == "parameter":
        return name != "self"
    return any(
        isinstance(node, ast.Assign) and any(flow.dotted(target) == name for target in node.targets)
        for node in made.body[:at]
    )


def _with_keyword(view: View, call: ast.Call, name: str) -> Change | None:
    """Return the change that adds a keyword behind a call's last argument; None where it cannot be seen."""
    source = ast.get_source_segment(view.file.text, call)
    given = [*call.args, *(item.value for item in call.keywords)]
    if source is None:
        return None
    if given:
        last = max(given, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0))
        own = ast.get_source_segment(view.file.text, last) or ""
        at = source.rfind(own) + len(own)
        made = f"{source[:at]}, {KEYWORD}={name}{source[at:]}"
    else:
        made = f"{source[:-1]}{KEYWORD}={name})"
    wanted = ast.Call(
        call.func, call.args, [*call.keywords, ast.keyword(KEYWORD, ast.Name(name, ast.Load()))]
    )
    try:
        is_it = ast.dump(ast.parse(made, mode="eval").body) == ast.dump(wanted)
    except SyntaxError:
        return None
    return Replaced(place_of(call), ast.unparse(call), made) if is_it else None
