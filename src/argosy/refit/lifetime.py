"""How long the sockets of one function live: whether they are closed on every way out of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.file import PythonFile
from argosy.refit.paths import Event, Exit, find_open_exits
from argosy.refit.sockets import RECEIVERS, SENDERS, Making, Place, Sockets, Use, function_of

Loop = ast.While | ast.For | ast.AsyncFor
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module, ast.ClassDef)
# A connect fails only for an address that is none.
_FAILING = RECEIVERS | SENDERS | {"bind", "poll"}


def find_leaks(file: PythonFile, sockets: Sockets, place: Place) -> list[Exit] | None:
    """Return the ways out of its function that leave a local socket open, None where that cannot be told.

    Told is what its own operations may raise; that anything else fails is not counted.
    """
    node = place.owner.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    events: dict[ast.AST, Event] = {}
    for making in place.makings:
        if making.scope is not place.owner or is_in_with(file, making.call):
            return None
        events[making.call] = "make"
        for call, event in _ends(file, sockets, making):
            if event is None:
                return None
            events[call] = event
    if any(function_of(use.scope) is not place.owner for use in place.uses):
        return None
    events.update(filter(None, map(_event, place.uses)))
    return find_open_exits(node.body, events, place.name)


def _event(use: Use) -> tuple[ast.AST, Event] | None:
    if use.kind == "call" and use.call is not None:
        if use.method == "close":
            return use.call, "close"
        return (use.call, "use") if use.method in _FAILING else None
    if use.kind == "with":
        return use.node, "close"
    is_given = use.kind in ("hold", "pass") or (use.kind == "bare" and use.method in ("close", "__exit__"))
    return (use.node, "give") if is_given else None


def is_closed(place: Place) -> bool:
    """Return whether anything closes a socket, or may."""
    return any(
        use.kind in ("with", "hold", "pass") or (use.kind in ("call", "bare") and use.method == "close")
        for use in place.uses
    )


def is_in_with(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a `with` closes what a call makes."""
    around = file.parent(call)
    if isinstance(around, ast.Call):
        around = file.parent(around)
    return isinstance(around, ast.withitem)


def loops_around(file: PythonFile, node: ast.AST) -> Iterator[Loop]:
    """Yield the loops of its function that a node stands in, from the inside out."""
    for around in file.ancestors(node):
        if isinstance(around, _FUNCTIONS):
            return
        if isinstance(around, ast.While | ast.For | ast.AsyncFor):
            yield around


def _ends(file: PythonFile, sockets: Sockets, making: Making) -> Iterator[tuple[ast.AST, Event | None]]:
    """Yield what ends the context of a socket, and with it the socket; None for a `with`."""
    context = sockets.context_of(making)
    if context is None or not context.is_local:
        return
    if any(is_in_with(file, item.call) for item in context.makings):
        yield making.call, None
    for use in context.uses:
        if use.kind == "with":
            yield use.node, None
        elif use.kind == "call" and use.method == "destroy" and use.call is not None:
            yield use.call, "close"
