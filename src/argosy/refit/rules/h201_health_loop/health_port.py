"""The port of a removed health loop: the base must answer on it, or be given it.

A class that binds its own health port often computes it before it calls the base constructor, and does not
pass it on: `BaseAgent` then answers on the port after the main one. If the value has a name by then, the call
gets it as an argument.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from argosy.refit.analysis.ast_queries import assigns, call_arguments
from argosy.refit.analysis.health.health_loops import HealthLoop, find_socket_type
from argosy.refit.analysis.socket_uses import SocketPlace
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.health_base import (
    PORT_NAMES,
    HealthBase,
    base_constructor_call,
    is_same_expression,
    method_of,
    port_of,
)
from argosy.refit.transaction.source_change import Change, Replacement, position_of
from argosy.refit.transaction.source_view import FunctionNode, SourceView
from argosy.source.control_flow import dotted_name

PORT_KEYWORD: Final = "health_check_port"
_MAX_DEPTH: Final = 4


# -- the socket of the loop --------------------------------------------------------------------------


def socket_changes(
    view: SourceView,
    index: TreeIndex,
    loop: HealthLoop,
    owner: ast.ClassDef,
    health_base: HealthBase,
    place: SocketPlace | None,
) -> list[Change] | str:
    """Return the changes that pass the socket's port to the base where the base has another one.

    A string is the reason why the socket is not private to the loop, or why the base cannot answer on its
    port.
    """
    if not loop.socket.startswith("self."):
        return f"`{loop.socket}` is not an attribute of its class"
    if place is None:
        return _inherited_socket_reason(view, loop, owner, health_base) or []
    if find_socket_type(view.python_file, loop.function, loop.socket) != "REP":
        return f"`{loop.socket}` is not certainly a REP socket"
    ports = _ports(place)
    if isinstance(ports, str):
        return ports
    changes: list[Change] = []
    for port in ports:
        found = _port_changes(view, index, owner, health_base, port)
        if isinstance(found, str):
            return found
        changes += found
    return changes if ports else f"the bind of `{loop.socket}` is not visible"


def _port_changes(
    view: SourceView, index: TreeIndex, owner: ast.ClassDef, health_base: HealthBase, port: ast.expr
) -> list[Change] | str:
    """Return the change that passes a port to the base, empty if the base has it, or a refusal reason."""
    if reason := _declared_port_reason(view, index, owner, port):
        return reason
    reason = _port_mismatch_reason(view, owner, health_base, port)
    port_change = _pass_port_to_base(view, owner, port) if reason and not health_base.path else None
    return [port_change] if port_change is not None else reason or []


def _ports(place: SocketPlace) -> Sequence[ast.expr] | str:
    """Return the ports that a socket is bound to, directly or by a method that takes socket and port."""
    ports: list[ast.expr] = []
    for use in place.uses:
        call = use.call
        if call is None or not call.args:
            continue
        if use.kind == "call" and use.method == "bind":
            port = port_of(call.args[0])
            if port is None:
                return f"the port of `{ast.unparse(call)}` is not visible"
            ports.append(port)
        elif use.kind == "argument" and "bind" in use.method and len(call.args) > 1:
            ports.append(call.args[1])
    return ports


def _inherited_socket_reason(
    view: SourceView, loop: HealthLoop, owner: ast.ClassDef, health_base: HealthBase
) -> str:
    """Return why a loop on a socket that its class does not create is not on its base's socket."""
    name = loop.socket.removeprefix("self.")
    if loop.socket != health_base.socket:
        return f"`{loop.socket}` is created neither in its class nor by its base"
    for node in ast.walk(owner):
        if not (isinstance(node, ast.Attribute) and node.attr == name) or _is_inside(
            view, node, loop.definition
        ):
            continue
        above = view.parents[node]
        is_closed = isinstance(above, ast.Attribute) and above.attr in ("close", "closed", "linger")
        is_tested = isinstance(above, ast.BoolOp | ast.UnaryOp | ast.If | ast.Compare)
        if not (isinstance(node.ctx, ast.Load) and (is_closed or is_tested)):
            return f"`{loop.socket}` has other uses"
    return ""


def _is_inside(view: SourceView, node: ast.AST, ancestor: ast.AST) -> bool:
    return any(each is ancestor for each in view.ancestors_of(node))


# -- comparison with the port of the base ------------------------------------------------------------


def _port_mismatch_reason(
    view: SourceView, owner: ast.ClassDef, health_base: HealthBase, bound: ast.expr
) -> str:
    """Return why the base does not answer on the port that the loop's own socket is bound to."""
    resolved = _resolve_once_assigned(view, owner, bound)
    written = dotted_name(bound)
    if written in health_base.port_attributes and not _assigns(owner, written):
        return ""
    if health_base.path:
        return f"its port `{ast.unparse(bound)}` is not certainly the one that its base binds"
    given_port = _constructor_argument(owner, PORT_NAMES)
    if given_port is not None:
        is_same_port = is_same_expression(view, _resolve_once_assigned(view, owner, given_port), resolved)
        return (
            "" if is_same_port else f"its port `{ast.unparse(bound)}` is not the one that its base is given"
        )
    is_next = _is_next_port(view, owner, resolved)
    return "" if is_next else f"its port `{ast.unparse(bound)}` is not certainly its base's health port"


def _is_next_port(view: SourceView, owner: ast.ClassDef, resolved: ast.expr) -> bool:
    """Return whether a port is one more than the port that the base is given or has stored."""
    if not (isinstance(resolved, ast.BinOp) and isinstance(resolved.op, ast.Add)):
        return False
    if not (isinstance(resolved.right, ast.Constant) and resolved.right.value == 1):
        return False
    given_port = _constructor_argument(owner, ("port",))
    if ast.unparse(resolved.left) != "self.port":
        return given_port is not None and is_same_expression(view, resolved.left, given_port)
    assigned = [node.value for node in ast.walk(owner) if assigns(node, "self.port")]
    return all(
        _keeps_port(value) or (given_port is not None and is_same_expression(view, value, given_port))
        for value in assigned
    )


def _keeps_port(value: ast.expr) -> bool:
    """Return whether a value sets `self.port` to itself: `self.port or 5`, `self.port if self.port else 5`.

    The base has always set a port by then.
    """
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        return dotted_name(value.values[0]) == "self.port"
    return isinstance(value, ast.IfExp) and {
        dotted_name(value.test),
        dotted_name(value.body),
    } == {"self.port"}


def _declared_port_reason(view: SourceView, index: TreeIndex, owner: ast.ClassDef, port: ast.expr) -> str:
    """Return how the fleet file contradicts a port; empty if the file is not an agent of the fleet."""
    path, resolved = view.path, _resolve_once_assigned(view, owner, port)
    agents = [a for a in index.fleet.agents.values() if _runs_script(a.run, path)] if index.fleet else []
    for agent in agents:
        if agent.health_port is None:
            return f"the fleet file declares no health port for `{agent.name}`"
        literal = resolved.value if isinstance(resolved, ast.Constant) else agent.health_port
        if literal != agent.health_port:
            return f"its port {literal!r} is not the health port {agent.health_port} of `{agent.name}`"
    return ""


def _runs_script(run: object, path: str) -> bool:
    return isinstance(run, str) and (run == path or path.endswith(f"/{run}") or run.endswith(f"/{path}"))


def _constructor_argument(owner: ast.ClassDef, names: tuple[str, ...]) -> ast.expr | None:
    """Return the argument that a class passes to its base's constructor under one of `names`.

    A positional argument counts if it is itself one of these names.
    """
    constructor = method_of(owner, "__init__")
    for node in constructor.body if constructor is not None else ():
        call = base_constructor_call(node)
        if call is None:
            continue
        named = [item.value for item in call.keywords if item.arg in names]
        return next(iter([*named, *(each for each in call.args if dotted_name(each) in names)]), None)
    return None


def _resolve_once_assigned(view: SourceView, owner: ast.ClassDef, node: ast.expr) -> ast.expr:
    """Resolve names that are assigned once, in the class or in the module."""
    for _ in range(_MAX_DEPTH):
        name = dotted_name(node)
        is_module = len(view.module_scope.bindings.get(name, ())) == 1 and not _is_local(owner, name)
        within = view.tree.body if is_module else list(ast.walk(owner))
        values = [each.value for each in within if assigns(each, name)]
        if not name or len(values) != 1:
            return node
        node = values[0]
    return node


def _is_local(owner: ast.ClassDef, name: str) -> bool:
    """Return whether a method of a class has a parameter or local variable of this name."""
    return any(
        (isinstance(node, ast.arg) and node.arg == name)
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        for node in ast.walk(owner)
    )


def _assigns(owner: ast.ClassDef, name: str) -> bool:
    return any(assigns(node, name) for node in ast.walk(owner))


# -- passing the port to the base --------------------------------------------------------------------


def _pass_port_to_base(view: SourceView, owner: ast.ClassDef, bound: ast.expr) -> Change | None:
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
    return any(assigns(node, name) for node in constructor.body[:call_index])


def _add_keyword(view: SourceView, call: ast.Call, name: str) -> Change | None:
    """Return the change that appends a keyword argument to a call; None if the position is not certain."""
    source = ast.get_source_segment(view.python_file.text, call)
    arguments = call_arguments(call)
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
