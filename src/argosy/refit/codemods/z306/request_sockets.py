"""Request sockets that serve one call: created, connected, used and dropped within a function."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis import pyzmq_names
from argosy.refit.analysis.socket_lifetime import find_leaking_exits, is_closed_by_with, iter_enclosing_loops
from argosy.refit.analysis.socket_uses import RECEIVE_METHODS, SEND_METHODS, SocketPlace, find_sockets
from argosy.refit.core.source_file import PythonFile

_POOLABLE_OPTIONS = frozenset({"RCVTIMEO", "SNDTIMEO", "LINGER"})


def find_per_call_sockets(file: PythonFile) -> Iterator[SocketPlace]:
    """Yield the places of local REQ sockets that serve the requests of one call."""
    for place in find_sockets(file).sockets:
        if place.is_local and place.socket_types == {"REQ"} and _is_per_call(file, place):
            yield place


def _is_per_call(file: PythonFile, place: SocketPlace) -> bool:
    if any(use.kind in ("escape", "argument") or use.scope is not place.owner for use in place.uses):
        return False
    if not (place.calls_to("connect") and place.calls_to(*SEND_METHODS) and place.calls_to(*RECEIVE_METHODS)):
        return False
    creation_loops = {
        id(loop) for creation in place.creations for loop in iter_enclosing_loops(file, creation.call)
    }
    # A socket created before a loop and used within it is kept for as long as the loop runs.
    return all(
        id(loop) in creation_loops
        for use in place.calls_to(*SEND_METHODS, *RECEIVE_METHODS)
        for loop in iter_enclosing_loops(file, use.node)
    )


def review_reason(file: PythonFile, place: SocketPlace) -> str:
    """Return why a socket cannot be pooled without review; empty if it can."""
    counts = [len(place.creations), len(place.calls_to("connect"))]
    counts += [len(place.calls_to(*SEND_METHODS)), len(place.calls_to(*RECEIVE_METHODS))]
    if counts != [1, 1, 1, 1]:
        return "it is not created, connected, sent and received on exactly once"
    if any(True for _ in iter_enclosing_loops(file, place.creations[0].call)):
        return "it is created in a loop"
    if not place.has_option("RCVTIMEO", file):
        return "it has no receive timeout, and any deadline would be a new one"
    if any(use.kind == "poll" or use.method == "poll" for use in place.uses):
        return "it is polled in addition to its timeout"
    if not _option_names(file, place) <= _POOLABLE_OPTIONS:
        return "it has options that a pooled connection lacks"
    if is_closed_by_with(file, place.creations[0].call):
        return ""
    leaks = find_leaking_exits(file, find_sockets(file), place)
    return "" if leaks == [] else "it is not closed on every path"


def _option_names(file: PythonFile, place: SocketPlace) -> set[str]:
    found: set[str] = set()
    for use in place.uses:
        if use.kind == "option":
            found.add(use.method.upper())
        elif use.kind == "call" and use.call is not None and use.method.startswith(("set", "curve", "plain")):
            arguments = use.call.args[:1]
            found.update(pyzmq_names.resolve_constant(file, item, use.scope) or "?" for item in arguments)
    return found
