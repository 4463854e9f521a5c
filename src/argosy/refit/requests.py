"""Request sockets that serve one call: made, connected, asked on and dropped within a function."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit import pyzmq
from argosy.refit.file import PythonFile
from argosy.refit.lifetime import find_leaks, is_in_with, loops_around
from argosy.refit.sockets import RECEIVERS, SENDERS, Place, find_sockets

_PLAIN_OPTIONS = frozenset({"RCVTIMEO", "SNDTIMEO", "LINGER"})


def find_requests(file: PythonFile) -> Iterator[Place]:
    """Yield the places of local REQ sockets that serve the requests of one call."""
    for place in find_sockets(file).sockets:
        if place.is_local and place.types == {"REQ"} and _serves_one_call(file, place):
            yield place


def _serves_one_call(file: PythonFile, place: Place) -> bool:
    if any(use.kind in ("hold", "pass") or use.scope is not place.owner for use in place.uses):
        return False
    if not (place.calls("connect") and place.calls(*SENDERS) and place.calls(*RECEIVERS)):
        return False
    made = {id(loop) for making in place.makings for loop in loops_around(file, making.call)}
    # One that is made before a loop and asks within it is kept for as long as the loop goes on.
    return all(
        id(loop) in made for use in place.calls(*SENDERS, *RECEIVERS) for loop in loops_around(file, use.node)
    )


def why_kept(file: PythonFile, place: Place) -> str:
    """Return what keeps a socket from being pooled without being looked at; empty for nothing."""
    counts = [len(place.makings), len(place.calls("connect"))]
    counts += [len(place.calls(*SENDERS)), len(place.calls(*RECEIVERS))]
    if counts != [1, 1, 1, 1]:
        return "it is not made, connected, sent and received on exactly once"
    if any(True for _ in loops_around(file, place.makings[0].call)):
        return "it is made in a loop"
    if not place.has_option("RCVTIMEO", file):
        return "it has no receive time-out, and any other deadline would be a new one"
    if any(use.kind == "poll" or use.method == "poll" for use in place.uses):
        return "it is polled beside its time-out"
    if not _options(file, place) <= _PLAIN_OPTIONS:
        return "it has options that a kept connection has not"
    if is_in_with(file, place.makings[0].call):
        return ""
    leaks = find_leaks(file, find_sockets(file), place)
    return "" if leaks == [] else "it is not closed on every way"


def _options(file: PythonFile, place: Place) -> set[str]:
    found: set[str] = set()
    for use in place.uses:
        if use.kind == "option":
            found.add(use.method.upper())
        elif use.kind == "call" and use.call is not None and use.method.startswith(("set", "curve", "plain")):
            arguments = use.call.args[:1]
            found.update(pyzmq.constant(file, item, use.scope) or "?" for item in arguments)
    return found
