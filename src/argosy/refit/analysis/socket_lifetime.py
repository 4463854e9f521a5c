"""The lifetime of sockets in one function: whether they are closed on every exit."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis.exit_paths import OpenExit, SocketEvent, find_open_exits
from argosy.refit.analysis.socket_uses import (
    RECEIVE_METHODS,
    SEND_METHODS,
    FileSockets,
    SocketCreation,
    SocketPlace,
    SocketUse,
    enclosing_function,
)
from argosy.refit.core.source_file import PythonFile

LoopNode = ast.While | ast.For | ast.AsyncFor
_SCOPE_NODES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module, ast.ClassDef)
# A connect fails only for an invalid address.
_FAILING_METHODS = RECEIVE_METHODS | SEND_METHODS | {"bind", "poll"}


def find_leaking_exits(file: PythonFile, sockets: FileSockets, place: SocketPlace) -> list[OpenExit] | None:
    """Return the exits of its function that leave a local socket open, None if they cannot be determined.

    Only exceptions of the socket's own operations are considered.
    """
    node = place.owner.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    events: dict[ast.AST, SocketEvent] = {}
    for creation in place.creations:
        if creation.scope is not place.owner or is_closed_by_with(file, creation.call):
            return None
        events[creation.call] = "create"
        for call, event in _context_events(file, sockets, creation):
            if event is None:
                return None
            events[call] = event
    if any(enclosing_function(use.scope) is not place.owner for use in place.uses):
        return None
    events.update(filter(None, map(_event_of, place.uses)))
    return find_open_exits(node.body, events, place.name)


def _event_of(use: SocketUse) -> tuple[ast.AST, SocketEvent] | None:
    if use.kind == "call" and use.call is not None:
        if use.method == "close":
            return use.call, "close"
        return (use.call, "use") if use.method in _FAILING_METHODS else None
    if use.kind == "with":
        return use.node, "close"
    is_escaping = use.kind in ("escape", "argument") or (
        use.kind == "attribute" and use.method in ("close", "__exit__")
    )
    return (use.node, "escape") if is_escaping else None


def can_be_closed(place: SocketPlace) -> bool:
    """Return whether anything closes a socket, or may close it."""
    return any(
        use.kind in ("with", "escape", "argument")
        or (use.kind in ("call", "attribute") and use.method == "close")
        for use in place.uses
    )


def is_closed_by_with(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a `with` closes the result of a call."""
    parent = file.parent(call)
    if isinstance(parent, ast.Call):
        parent = file.parent(parent)
    return isinstance(parent, ast.withitem)


def iter_enclosing_loops(file: PythonFile, node: ast.AST) -> Iterator[LoopNode]:
    """Yield the loops of its function that contain a node, from the inside out."""
    for ancestor in file.ancestors(node):
        if isinstance(ancestor, _SCOPE_NODES):
            return
        if isinstance(ancestor, ast.While | ast.For | ast.AsyncFor):
            yield ancestor


def _context_events(
    file: PythonFile, sockets: FileSockets, creation: SocketCreation
) -> Iterator[tuple[ast.AST, SocketEvent | None]]:
    """Yield what ends the context of a socket, and with it the socket; None for a `with`."""
    context = sockets.context_of(creation)
    if context is None or not context.is_local:
        return
    if any(is_closed_by_with(file, item.call) for item in context.creations):
        yield creation.call, None
    for use in context.uses:
        if use.kind == "with":
            yield use.node, None
        elif use.kind == "call" and use.method == "destroy" and use.call is not None:
            yield use.call, "close"
