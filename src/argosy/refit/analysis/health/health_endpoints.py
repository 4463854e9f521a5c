"""Sockets and HTTP handlers that serve only health."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from argosy.refit.analysis.ast_queries import last_name, string_literal
from argosy.refit.analysis.health.health_loops import find_health_loops
from argosy.refit.analysis.health.health_payloads import FunctionDefinition, classify_message, iter_own_nodes
from argosy.refit.analysis.socket_uses import (
    OPENING_METHODS,
    SocketCreation,
    SocketPlace,
    enclosing_class,
    find_sockets,
)
from argosy.refit.core.source_file import PythonFile
from argosy.source.name_scopes import NameScope

_REPLY_TYPES: Final = frozenset({"REP", "ROUTER"})
_HEALTH_PATH: Final = re.compile(
    r"/(?:(?:api|v\d+|internal)/)*(?:health|healthz|healthcheck|health[-_]check|health/\w+|livez|readyz)/?"
)
_ROUTE_DECORATORS: Final = frozenset({"route", "get", "head", "api_route"})
_ROUTE_METHODS: Final = frozenset({"add_url_rule", "add_api_route", "add_get", "add_route"})
_HANDLER_BASES: Final = frozenset({"BaseHTTPRequestHandler", "SimpleHTTPRequestHandler"})


def find_health_sockets(file: PythonFile) -> Iterator[tuple[SocketPlace, SocketCreation]]:
    """Yield the sockets that only answer health requests: known by their loop, else by their name."""
    served = {
        (id(_socket_owner(loop.function, loop.socket)), loop.socket)
        for loop in find_health_loops(file)
        if loop.kind == "responder"
    }
    for place in find_sockets(file).sockets:
        is_served = (id(place.owner), place.name) in served
        if not (is_served or ("health" in place.name.lower() and _is_bound(place))):
            continue
        for creation in place.creations:
            if creation.socket_type in _REPLY_TYPES:
                yield place, creation


def find_beacon_sockets(file: PythonFile) -> Iterator[tuple[SocketPlace, SocketCreation]]:
    """Yield the sockets on which a loop sends its agent's health."""
    broadcast = {
        (id(_socket_owner(loop.function, loop.socket)), loop.socket)
        for loop in find_health_loops(file)
        if loop.kind == "beacon"
    }
    for place in find_sockets(file).sockets:
        if (id(place.owner), place.name) in broadcast:
            yield from ((place, creation) for creation in place.creations)


def _socket_owner(scope: NameScope, name: str) -> NameScope | None:
    return enclosing_class(scope) if "." in name else scope.owner_of(name)


def _is_bound(place: SocketPlace) -> bool:
    """Return whether a socket is bound, here or by a function that it is passed to."""
    return bool(place.calls_to(*OPENING_METHODS)) or any(
        use.kind == "argument" and "bind" in use.method for use in place.uses
    )


def find_health_routes(file: PythonFile) -> Iterator[tuple[ast.expr | ast.stmt, NameScope, str]]:
    """Yield what answers health requests over HTTP: the node, its scope, the path."""
    functions: list[tuple[FunctionDefinition, NameScope]] = [
        *file.nodes(ast.FunctionDef),
        *file.nodes(ast.AsyncFunctionDef),
    ]
    for node, scope in functions:
        for decorator in node.decorator_list:
            is_route = isinstance(decorator, ast.Call) and last_name(decorator.func) in _ROUTE_DECORATORS
            if is_route and (path := _health_path(decorator)):
                yield decorator, scope, path
        is_get = node.name in ("do_GET", "do_HEAD") and _is_handler_class(scope)
        if is_get and (path := _served_path(file, node, scope)):
            yield node, scope, path
    for call, scope in file.nodes(ast.Call):
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr in _ROUTE_METHODS
            and (path := _health_path(call))
        ):
            yield call, scope, path


def _health_path(call: ast.expr) -> str:
    text = string_literal(call.args[0]) if isinstance(call, ast.Call) and call.args else ""
    return text if _HEALTH_PATH.fullmatch(text) else ""


def _is_handler_class(scope: NameScope) -> bool:
    node = scope.node
    return isinstance(node, ast.ClassDef) and any(last_name(base) in _HANDLER_BASES for base in node.bases)


def _served_path(file: PythonFile, node: FunctionDefinition, scope: NameScope) -> str:
    """Return the health path that a handler serves, or `*` if all its answers are health."""
    for inner in iter_own_nodes(node):
        if isinstance(inner, ast.Constant) and _HEALTH_PATH.fullmatch(string_literal(inner)):
            return string_literal(inner)
    function = next((child for child in scope.children if child.node is node), None)
    for inner in iter_own_nodes(node):
        is_write = isinstance(inner, ast.Call) and last_name(inner.func) == "write" and inner.args
        if is_write and function is not None and classify_message(file, inner.args[0], function) == "health":  # type: ignore[attr-defined]
            return "*"
    return ""
