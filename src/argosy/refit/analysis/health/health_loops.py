"""Loops that answer health requests, or send an agent's health, under any name.

Found are loops in which one socket is received from or polled, every message sent on it is a health payload
or an error, and the request is not used for work; and loops that repeatedly send a health payload on a PUB or
PUSH socket.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from argosy.refit.analysis.health.health_payloads import (
    MessageKind,
    classify_message,
    iter_own_nodes,
    self_method_name,
    unwrap_payload,
)
from argosy.refit.analysis.socket_uses import (
    RECEIVE_METHODS,
    SEND_METHODS,
    enclosing_class,
    enclosing_function,
    find_sockets,
)
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

HealthLoopKind = Literal["responder", "beacon"]
HealthLoopNode = ast.While | ast.For

_BROADCAST_TYPES: Final = frozenset({"PUB", "XPUB", "PUSH"})
_REPLY_TYPES: Final = frozenset({"REP", "ROUTER", ""})
# Calls that do no work with a request.
_INERT_CALLS: Final = frozenset(
    (  # noqa: SIM905
        "debug info warning warn error exception critical log print get decode loads strip lower"
        " isinstance str repr len type bool dict format startswith upper"
    ).split()
)
_HEALTH_NAME: Final = re.compile(r"health|heartbeat|liveness|status", re.IGNORECASE)


class HealthLoop(msgspec.Struct, frozen=True):
    """One loop that reports its agent's health.

    function: the scope that it is in. loop: the statement. socket: such as `self.health_socket`. sends: the
    calls that send, with the kind of each message.
    """

    function: NameScope
    loop: HealthLoopNode
    kind: HealthLoopKind
    socket: str
    sends: tuple[tuple[ast.Call, MessageKind], ...]

    @property
    def name(self) -> str:
        return self.function.qualified_name()

    @property
    def is_only_socket(self) -> bool:
        """Whether the loop uses no other socket."""
        used_sockets = {
            dotted_name(node.func.value)
            for node in iter_own_nodes(self.loop)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in SEND_METHODS | RECEIVE_METHODS
        }
        return used_sockets == {self.socket}

    @property
    def definition(self) -> ast.FunctionDef | ast.AsyncFunctionDef:
        """The definition of its function."""
        assert isinstance(self.function.node, ast.FunctionDef | ast.AsyncFunctionDef)
        return self.function.node


def find_health_loops(file: PythonFile) -> list[HealthLoop]:
    """Return the health loops of a file, one per function and socket; cached per file."""
    return file.compute_once(_find)


def _find(file: PythonFile) -> list[HealthLoop]:
    found: dict[tuple[int, str], HealthLoop] = {}
    data = file.source.data
    is_candidate = b"status" in data or b"health" in data
    if is_candidate and b"send" in data and any(word in data for word in (b"recv", b"PUB", b"PUSH")):
        loops: list[tuple[HealthLoopNode, NameScope]] = [*file.nodes(ast.While), *file.nodes(ast.For)]
        sending_functions = _sending_functions(file)
        for loop, scope in loops:
            function = enclosing_function(scope)
            if function is None or function not in sending_functions:
                continue
            if isinstance(function.node, ast.FunctionDef | ast.AsyncFunctionDef):
                for health_loop in _health_loops_of(file, function, loop):
                    found.setdefault((id(function), health_loop.socket), health_loop)
    return list(found.values())


def _sending_functions(file: PythonFile) -> set[NameScope]:
    """Return the functions that send; most loops are in others."""
    return {
        function
        for call, scope in file.nodes(ast.Call)
        if isinstance(call.func, ast.Attribute) and call.func.attr in SEND_METHODS and call.args
        if (function := enclosing_function(scope)) is not None
    }


def _health_loops_of(file: PythonFile, scope: NameScope, loop: HealthLoopNode) -> Iterator[HealthLoop]:
    calls = _calls_in_order(loop)
    by_socket: dict[str, list[ast.Call]] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in SEND_METHODS and call.args:
            name = dotted_name(call.func.value)
            if name:
                by_socket.setdefault(name, []).append(call)
    for name, sends in by_socket.items():
        kind = _classify_loop(file, scope, calls, name, sends) if _is_innermost(loop, sends) else None
        message_kinds = [_classify_sent(file, scope, send) for send in sends] if kind else []
        if kind and "other" not in message_kinds and "health" in message_kinds:
            yield HealthLoop(scope, loop, kind, name, tuple(zip(sends, message_kinds, strict=True)))


def _calls_in_order(loop: HealthLoopNode) -> list[ast.Call]:
    """Return the calls of a loop in source order."""
    calls = [node for node in iter_own_nodes(loop) if isinstance(node, ast.Call)]
    return sorted(calls, key=lambda node: (node.lineno, node.col_offset))


def _is_innermost(loop: HealthLoopNode, sends: list[ast.Call]) -> bool:
    """Return whether no inner loop contains all the sends."""
    for inner in iter_own_nodes(loop):
        if isinstance(inner, ast.While | ast.For):
            inner_nodes = {id(node) for node in iter_own_nodes(inner)}
            if all(id(send) in inner_nodes for send in sends):
                return False
    return True


def _classify_loop(
    file: PythonFile, scope: NameScope, calls: list[ast.Call], name: str, sends: list[ast.Call]
) -> HealthLoopKind | None:
    """Return the kind of a loop on a socket: it receives before it sends, or only sends."""
    socket_type = find_socket_type(file, scope, name)
    first_send = min((send.lineno, send.col_offset) for send in sends)
    received = [
        call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in RECEIVE_METHODS
    ]
    own = [call for call in received if dotted_name(call.func.value) == name]  # type: ignore[attr-defined]
    if own:
        is_before = min((call.lineno, call.col_offset) for call in own) < first_send
        return (
            "responder"
            if is_before and socket_type in _REPLY_TYPES and _is_request_ignored(file, scope, own)
            else None
        )
    return "beacon" if socket_type in _BROADCAST_TYPES else None


def find_socket_type(file: PythonFile, scope: NameScope, name: str) -> str:
    """Return the type of a socket such as `REP`; empty if it is not created in this file."""
    for place in find_sockets(file).sockets:
        if place.name != name or len(place.socket_types) != 1:
            continue
        is_here = (
            place.owner is enclosing_class(scope)
            if place.is_attribute
            else (scope.owner_of(name) is place.owner)
        )
        if is_here:
            return next(iter(place.socket_types))
    return ""


def _is_request_ignored(file: PythonFile, scope: NameScope, received: list[ast.Call]) -> bool:
    """Return whether received messages are used for no work: inspected, logged, and dropped."""
    names = {name for call in received for name in _assigned_names(file, call)}
    while True:
        derived_names = set()
        for node in iter_own_nodes(scope.node):
            if not (isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load)):
                continue
            call = _consuming_call(file, node)
            if call is None:
                continue
            if not _is_inert_call(call):
                return False
            derived_names |= set(_assigned_names(file, call))
        if derived_names <= names:
            return True
        names |= derived_names


def _assigned_names(file: PythonFile, node: ast.expr) -> Iterator[str]:
    """Yield the names that the statement around an expression assigns its value to."""
    for ancestor in file.ancestors(node):
        if isinstance(ancestor, ast.Assign):
            for target in ancestor.targets:
                yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
        if isinstance(ancestor, ast.AnnAssign | ast.NamedExpr) and isinstance(ancestor.target, ast.Name):
            yield ancestor.target.id
        if isinstance(ancestor, ast.stmt):
            return


def _consuming_call(file: PythonFile, node: ast.Name) -> ast.Call | None:
    """Return the call that uses a value, as an argument or as its receiver; None if there is none."""
    for ancestor in file.ancestors(node):
        if isinstance(ancestor, ast.Call):
            return ancestor
        if isinstance(ancestor, ast.Compare | ast.stmt | ast.Dict):
            return None
    return None


def _is_inert_call(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else dotted_name(call.func)
    return name in _INERT_CALLS or name in SEND_METHODS


def _classify_sent(file: PythonFile, scope: NameScope, send: ast.Call) -> MessageKind:
    message_kind = classify_message(file, send.args[0], scope)
    if message_kind == "other" and _is_named_as_health(file, scope, send.args[0]):
        return "health"
    return message_kind


def _is_named_as_health(file: PythonFile, scope: NameScope, node: ast.expr) -> bool:
    """Return whether a payload comes from a function without arguments whose name says health.

    Used only if the function's result is not visible and the request is ignored.
    """
    node = unwrap_payload(node)
    if isinstance(node, ast.Name):
        assigned_values = [
            a.value
            for a, inner in file.nodes(ast.Assign)
            if inner is scope and any(isinstance(t, ast.Name) and t.id == node.id for t in a.targets)
        ]
        return bool(assigned_values) and all(
            not isinstance(value, ast.Name) and _is_named_as_health(file, scope, value)
            for value in assigned_values
        )
    if not isinstance(node, ast.Call) or node.args or node.keywords:
        return False
    name = self_method_name(node) or dotted_name(node.func)
    return bool(name) and bool(_HEALTH_NAME.search(name.rpartition(".")[2]))
