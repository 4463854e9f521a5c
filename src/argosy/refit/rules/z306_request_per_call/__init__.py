"""A request socket for each call

A function that creates a REQ socket, connects, sends, receives and closes it pays for a connection on each
call: 7 to 13 times the time of a request on a kept socket, and a lingering port. Each such function also has
its own timeout for a peer that does not answer.

`auto` if the socket stays in its function, connects, sends and receives once, outside of any loop, has a
receive timeout and no other options, and is closed on every path: the refit can then replace it by a pooled
connection. The others need a review.

Instead: a channel (`argosy.wire.connect`), one connection for all requests to a peer.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis import pyzmq_names
from argosy.refit.analysis.socket_lifetime import find_leaking_exits, is_closed_by_with, iter_enclosing_loops
from argosy.refit.analysis.socket_uses import RECEIVE_METHODS, SEND_METHODS, SocketPlace, find_sockets
from argosy.refit.core.finding import Finding, FindingAction
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile

_POOLABLE_OPTIONS = frozenset({"RCVTIMEO", "SNDTIMEO", "LINGER"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each local REQ socket that serves the requests of one call."""
    for place in find_per_call_sockets(file):
        creation = place.creations[0]
        reason_for_review = review_reason(file, place)
        action: FindingAction = "review" if reason_for_review else "auto"
        name = creation.scope.qualified_name()
        message = f"each call of `{name}` creates, connects and drops a REQ socket"
        hint = f"for review: {reason_for_review}" if reason_for_review else ""
        yield file.make_finding(creation.call, message, creation.scope, hint=hint, action=action)


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


RULE = Rule(
    code="Z306", title="request socket per call", action="review", required_words=(b"REQ",), check_file=check
)

_ASK = "import zmq\n\ndef ask(ctx, peer):\n    s = ctx.socket(zmq.REQ){mark}\n    s.connect(peer)\n"
_ONE = _ASK.format(mark="  # <--")
_NO = _ASK.format(mark="")
MUST = (
    RuleCase(
        _ONE + "    s.RCVTIMEO = 5\n    try:\n        s.send(b'x')\n        return s.recv()\n    finally:\n"
        "        s.close()\n"
    ),
    RuleCase(_ONE + "    s.send_json({})\n    out = s.recv_json()\n    s.close()\n    return out\n"),
    RuleCase(_ONE + "    s.send_json({})\n    return s.recv_json()\n"),
    RuleCase(_ONE + "    s.send(b'x')\n    if s.poll(100):\n        return s.recv()\n"),
    RuleCase(
        "import zmq as z\n\nclass A:\n    def ask(self, peers):\n        for peer in peers:\n"
        "            s = z.Context.instance().socket(z.REQ)  # <--\n            s.connect(peer)\n"
        "            s.send(b'x')\n            print(s.recv())\n            s.close()\n"
    ),
    RuleCase(
        "import zmq\n\nasync def ask(ctx, peer):\n    with ctx.socket(zmq.REQ) as s:  # <--\n"
        "        s.connect(peer)\n        await s.send(b'x')\n        return await s.recv()\n"
    ),
)
MUST_NOT = (
    RuleCase(_NO + "    while True:\n        s.send(input())\n        print(s.recv())\n"),
    RuleCase(_NO + "    return s\n"),
    RuleCase(_NO + "    talk(s)\n    s.send(b'x')\n    s.recv()\n"),
    RuleCase(_NO + "    s.send(b'x')\n"),
    RuleCase(_NO + "    def later():\n        s.send(b'x')\n        s.recv()\n    return later\n"),
    RuleCase("import zmq\ns = zmq.Context().socket(zmq.REQ)\ns.connect('x')\ns.send(b'')\ns.recv()\n"),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, ctx):\n        self.s = ctx.socket(zmq.REQ)\n"
        "        self.s.connect('x')\n\n    def ask(self):\n        self.s.send(b'')\n"
        "        return self.s.recv()\n"
    ),
    RuleCase(
        _NO.replace("zmq.REQ", "zmq.REP").replace("connect", "bind") + "    s.recv()\n    s.send(b'')\n"
    ),
    RuleCase(
        "import requests as zmq\n\ndef f(c):\n    s = c.socket(zmq.REQ)\n    s.connect(1)\n"
        "    s.send(1)\n    s.recv()\n"
    ),
)
