"""Side-effect-free expressions and log calls, which may be removed.

A method call is judged by the type of its receiver, never by its name alone: an object of a user-defined
class may do anything in its `get`, `wait` or `info`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Final

from argosy.refit.analysis.ast_queries import call_arguments, is_docstring
from argosy.refit.analysis.health.health_payloads import iter_own_nodes
from argosy.refit.rewrite.module_resolution import find_imported_function, parameter_of
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.type_inference import READ_ONLY_METHODS, TypeInference
from argosy.source.control_flow import dotted_name

# Calls allowed in tests and log calls.
_PURE_CALLS: Final = frozenset(
    {"bool", "dict", "getattr", "hasattr", "int", "isinstance", "len", "repr", "str", "type"}
    | {"json.loads", "time.time", "traceback.format_exc", "zmq.Poller"}
)
_WAITING_METHODS: Final = frozenset({("event", "wait"), ("poller", "poll"), ("socket", "poll")})
_LOG_METHODS: Final = frozenset({"critical", "debug", "error", "exception", "info", "log", "warn", "warning"})


def is_log_call(types: TypeInference, call: ast.Call) -> bool:
    """Return whether a call logs or prints existing values."""
    func = call.func
    is_logging = types.origin(func) == "print"
    if isinstance(func, ast.Attribute) and func.attr in _LOG_METHODS:
        is_logging = types.origin(func.value) == "logging" or types.type_of(func.value) == "logger"
    return is_logging and has_pure_arguments(types, call)


def is_side_effect_free(types: TypeInference, node: ast.expr, known_pure: Collection[str] = ()) -> bool:
    """Return whether an expression only reads existing values, or waits for one.

    known_pure: further pure calls, as written, such as `each.is_alive`.
    """
    for inner in (node, *iter_own_nodes(node)):
        if isinstance(inner, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            return False
        if isinstance(inner, ast.Call) and not (
            dotted_name(inner.func) in known_pure or _is_pure_call(types, inner)
        ):
            return False
    return True


def has_pure_arguments(types: TypeInference, call: ast.Call) -> bool:
    """Return whether all arguments of a call are free of side effects."""
    return all(is_side_effect_free(types, each) for each in call_arguments(call))


def is_sleep_call(types: TypeInference, call: ast.Call) -> bool:
    """Return whether a call only lets time pass: a sleep, or a wait for an event."""
    func = call.func
    is_wait = isinstance(func, ast.Attribute) and (types.type_of(func.value), func.attr) == ("event", "wait")
    is_sleep = is_wait or types.origin(func) == "time.sleep"
    return is_sleep and has_pure_arguments(types, call)


def _is_pure_call(types: TypeInference, call: ast.Call) -> bool:
    if types.origin(call.func) in _PURE_CALLS:
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    receiver_type, method = types.type_of(call.func.value), call.func.attr
    return method in READ_ONLY_METHODS.get(receiver_type, ()) or (receiver_type, method) in _WAITING_METHODS


# -- functions that only create a socket -------------------------------------------------------------


def only_creates_socket(types: TypeInference, index: TreeIndex, value: ast.expr) -> bool:
    """Return whether an expression only creates a socket, directly or by such a function.

    types: the inferred types of the expression's file, which must know its context.
    """
    if not isinstance(value, ast.Call):
        return False
    func = value.func
    if isinstance(func, ast.Attribute) and func.attr == "socket":
        return types.type_of(func.value) == "context" and len(value.args) == 1 and not value.keywords
    found = find_imported_function(types.view, index, func) if has_pure_arguments(types, value) else None
    if found is None:
        return False
    function_view, function = found
    context = _socket_factory_parameter(TypeInference(function_view), function)
    return any(
        types.type_of(each) == "context" and parameter_of(function, value, each) == context
        for each in call_arguments(value)
    )


def _socket_factory_parameter(types: TypeInference, function: ast.FunctionDef) -> str:
    """Return the context parameter from which a function creates the socket it returns, or empty.

    Setting options of the socket is allowed; a function that does more returns empty.
    """
    names = {arg.arg for arg in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
    body = [node for node in function.body if not is_docstring(node)]
    first, last = (body[0], body[-1]) if len(body) > 1 else (None, None)
    if not (isinstance(first, ast.Assign) and isinstance(last, ast.Return)):
        return ""
    target = dotted_name(first.targets[0]) if len(first.targets) == 1 else ""
    call = first.value
    is_socket_call = (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "socket"
    )
    if not (is_socket_call and target.isidentifier() and _context_name(call) in names):
        return ""
    if last.value is None or dotted_name(last.value) != target:
        return ""
    return _context_name(call) if all(_only_sets_options(types, node, target) for node in body[1:-1]) else ""


def _context_name(call: ast.expr) -> str:
    func = call.func if isinstance(call, ast.Call) else None
    return dotted_name(func.value) if isinstance(func, ast.Attribute) else ""


def _only_sets_options(types: TypeInference, node: ast.stmt, socket: str) -> bool:
    """Return whether a statement only sets options of a socket, logs, or tests a parameter."""
    if isinstance(node, ast.If):
        is_test_pure = is_side_effect_free(types, node.test)
        return is_test_pure and all(_only_sets_options(types, n, socket) for n in (*node.body, *node.orelse))
    if isinstance(node, ast.Pass) or is_docstring(node):
        return True
    if isinstance(node, ast.Assign):
        is_its = [dotted_name(target).rpartition(".")[0] for target in node.targets] == [socket]
        return is_its and is_side_effect_free(types, node.value)
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    call = node.value
    receiver, _, method = dotted_name(call.func).rpartition(".")
    is_option = receiver == socket and method in ("setsockopt", "setsockopt_string", "set")
    return is_log_call(types, call) or (is_option and has_pure_arguments(types, call))
