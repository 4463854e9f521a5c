"""What only looks at what is there, and what only writes a line of a log: it may go, and nobody misses it.

What a method does is known by what it is called on, never by its name alone: an object of somebody's own
class may do anything in its `get`, `wait` or `info`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Final

from argosy.refit.health.payloads import own_nodes
from argosy.refit.rewrite.health.kinds import LOOKS, Kinds
from argosy.source import flow

# What a test or a line of the log may call.
_FUNCTIONS: Final = frozenset(
    {"bool", "dict", "getattr", "hasattr", "int", "isinstance", "len", "repr", "str", "type"}
    | {"json.loads", "time.time", "traceback.format_exc", "zmq.Poller"}
)
_WAITS: Final = frozenset({("event", "wait"), ("poller", "poll"), ("socket", "poll")})
_LINES: Final = frozenset({"critical", "debug", "error", "exception", "info", "log", "warn", "warning"})


def is_log(kinds: Kinds, call: ast.Call) -> bool:
    """Return whether a call writes a line of a log, or prints one, of values that are there."""
    func = call.func
    is_line = kinds.origin(func) == "print"
    if isinstance(func, ast.Attribute) and func.attr in _LINES:
        is_line = kinds.origin(func.value) == "logging" or kinds.of(func.value) == "logger"
    return is_line and all(is_still(kinds, each) for each in (*call.args, *(k.value for k in call.keywords)))


def is_still(kinds: Kinds, node: ast.expr, known: Collection[str] = ()) -> bool:
    """Return whether an expression only looks at what is there, or waits for it.

    known: what looks besides, as it is written, such as `each.is_alive`.
    """
    for inner in (node, *own_nodes(node)):
        if isinstance(inner, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            return False
        if isinstance(inner, ast.Call) and not (
            flow.dotted(inner.func) in known or _only_looks(kinds, inner)
        ):
            return False
    return True


def is_pausing(kinds: Kinds, call: ast.Call) -> bool:
    """Return whether a call does nothing but let time go by: a sleep, or a wait for an event."""
    func = call.func
    is_wait = isinstance(func, ast.Attribute) and (kinds.of(func.value), func.attr) == ("event", "wait")
    is_pause = is_wait or kinds.origin(func) == "time.sleep"
    return is_pause and all(is_still(kinds, each) for each in (*call.args, *(k.value for k in call.keywords)))


def _only_looks(kinds: Kinds, call: ast.Call) -> bool:
    if kinds.origin(call.func) in _FUNCTIONS:
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    kind, method = kinds.of(call.func.value), call.func.attr
    return method in LOOKS.get(kind, ()) or (kind, method) in _WAITS
