"""Sockets and HTTP handlers that are there for health alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from argosy.refit.addresses.shapes import last_name, text_of
from argosy.refit.file import PythonFile
from argosy.refit.health.loops import find_health_loops
from argosy.refit.health.payloads import Function, own_nodes, sort_of
from argosy.refit.sockets import OPENERS, Making, Place, class_of, find_sockets
from argosy.source.scopes import Scope

_ANSWERING: Final = frozenset({"REP", "ROUTER"})
_PATH: Final = re.compile(
    r"/(?:(?:api|v\d+|internal)/)*(?:health|healthz|healthcheck|health[-_]check|health/\w+|livez|readyz)/?"
)
_ROUTES: Final = frozenset({"route", "get", "head", "api_route"})
_ADDERS: Final = frozenset({"add_url_rule", "add_api_route", "add_get", "add_route"})
_HANDLERS: Final = frozenset({"BaseHTTPRequestHandler", "SimpleHTTPRequestHandler"})


def health_sockets(file: PythonFile) -> Iterator[tuple[Place, Making]]:
    """Yield the sockets that answer for health and for nothing else: by their loop, else by their name."""
    served = {
        (id(_owner(loop.function, loop.socket)), loop.socket)
        for loop in find_health_loops(file)
        if loop.kind == "answer"
    }
    for place in find_sockets(file).sockets:
        is_served = (id(place.owner), place.name) in served
        if not (is_served or ("health" in place.name.lower() and _is_bound(place))):
            continue
        for making in place.makings:
            if making.type in _ANSWERING:
                yield place, making


def beacon_sockets(file: PythonFile) -> Iterator[tuple[Place, Making]]:
    """Yield the sockets on which a loop sends out its agent's health."""
    cast = {
        (id(_owner(loop.function, loop.socket)), loop.socket)
        for loop in find_health_loops(file)
        if loop.kind == "beacon"
    }
    for place in find_sockets(file).sockets:
        if (id(place.owner), place.name) in cast:
            yield from ((place, making) for making in place.makings)


def _owner(scope: Scope, name: str) -> Scope | None:
    return class_of(scope) if "." in name else scope.owner_of(name)


def _is_bound(place: Place) -> bool:
    """Return whether a socket is bound, here or by a function that gets it."""
    return bool(place.calls(*OPENERS)) or any(
        use.kind == "pass" and "bind" in use.method for use in place.uses
    )


def health_routes(file: PythonFile) -> Iterator[tuple[ast.expr | ast.stmt, Scope, str]]:
    """Yield what answers for health over HTTP: the place, its scope, the path."""
    functions: list[tuple[Function, Scope]] = [
        *file.nodes(ast.FunctionDef),
        *file.nodes(ast.AsyncFunctionDef),
    ]
    for node, scope in functions:
        for decorator in node.decorator_list:
            is_route = isinstance(decorator, ast.Call) and last_name(decorator.func) in _ROUTES
            if is_route and (path := _path(decorator)):
                yield decorator, scope, path
        is_get = node.name in ("do_GET", "do_HEAD") and _is_handler(scope)
        if is_get and (path := _served_path(file, node, scope)):
            yield node, scope, path
    for call, scope in file.nodes(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in _ADDERS and (path := _path(call)):
            yield call, scope, path


def _path(call: ast.expr) -> str:
    text = text_of(call.args[0]) if isinstance(call, ast.Call) and call.args else ""
    return text if _PATH.fullmatch(text) else ""


def _is_handler(scope: Scope) -> bool:
    node = scope.node
    return isinstance(node, ast.ClassDef) and any(last_name(base) in _HANDLERS for base in node.bases)


def _served_path(file: PythonFile, node: Function, scope: Scope) -> str:
    """Return the health path that a handler asks for, or `*` where all it answers with is health."""
    for inner in own_nodes(node):
        if isinstance(inner, ast.Constant) and _PATH.fullmatch(text_of(inner)):
            return text_of(inner)
    function = next((child for child in scope.children if child.node is node), None)
    for inner in own_nodes(node):
        is_write = isinstance(inner, ast.Call) and last_name(inner.func) == "write" and inner.args
        if is_write and function is not None and sort_of(file, inner.args[0], function) == "health":  # type: ignore[attr-defined]
            return "*"
    return ""
