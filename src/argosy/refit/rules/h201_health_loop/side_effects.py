"""Side-effect-free expressions and log calls, which may be removed.

A method call is judged by the type of its receiver, never by its name alone: an object of a user-defined
class may do anything in its `get`, `wait` or `info`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Final

from argosy.refit.analysis.health.health_payloads import iter_own_nodes
from argosy.refit.rules.h201_health_loop.type_inference import READ_ONLY_METHODS, TypeInference
from argosy.source import control_flow

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
    return is_logging and all(
        is_side_effect_free(types, each) for each in (*call.args, *(k.value for k in call.keywords))
    )


def is_side_effect_free(types: TypeInference, node: ast.expr, known_pure: Collection[str] = ()) -> bool:
    """Return whether an expression only reads existing values, or waits for one.

    known_pure: further pure calls, as written, such as `each.is_alive`.
    """
    for inner in (node, *iter_own_nodes(node)):
        if isinstance(inner, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            return False
        if isinstance(inner, ast.Call) and not (
            control_flow.dotted_name(inner.func) in known_pure or _is_pure_call(types, inner)
        ):
            return False
    return True


def is_sleep_call(types: TypeInference, call: ast.Call) -> bool:
    """Return whether a call only lets time pass: a sleep, or a wait for an event."""
    func = call.func
    is_wait = isinstance(func, ast.Attribute) and (types.type_of(func.value), func.attr) == ("event", "wait")
    is_sleep = is_wait or types.origin(func) == "time.sleep"
    return is_sleep and all(
        is_side_effect_free(types, each) for each in (*call.args, *(k.value for k in call.keywords))
    )


def _is_pure_call(types: TypeInference, call: ast.Call) -> bool:
    if types.origin(call.func) in _PURE_CALLS:
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    receiver_type, method = types.type_of(call.func.value), call.func.attr
    return method in READ_ONLY_METHODS.get(receiver_type, ()) or (receiver_type, method) in _WAITING_METHODS
