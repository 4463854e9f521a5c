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

from argosy.refit.codemods.z306.request_sockets import find_per_call_sockets, review_reason
from argosy.refit.core.finding import Finding, FindingAction
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile


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
