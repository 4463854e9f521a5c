"""A socket that is closed without a LINGER

By default a closed socket keeps its unsent messages until the peer takes them: the `term()` of its context
waits for that, without limit if the peer is gone. This is the most common reason why an agent does not end.

Reported once for a socket that connects and may have unsent messages (REQ, DEALER, PUSH, PAIR, PUB) and that
is closed, or whose own context is terminated, while LINGER is set neither on it nor on its context and the
`close()` has no `linger` argument. Not reported where other code gets the socket and may configure it.

Instead: `sock.linger = 0` where late messages have no value, else a limit in milliseconds; for requests a
channel.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.socket_uses import (
    FileSockets,
    SocketPlace,
    SocketUse,
    find_sockets,
    is_option_set_by,
)
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile

_QUEUEING_TYPES = frozenset({"REQ", "DEALER", "PUSH", "PAIR", "PUB", "XPUB"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each socket once, where it is created."""
    sockets = find_sockets(file)
    for place in sockets.sockets:
        ending = _describe_ending(sockets, place)
        if (
            ending
            and place.socket_types <= _QUEUEING_TYPES
            and place.calls_to("connect")
            and not _has_linger(file, sockets, place)
        ):
            creation = place.creations[0]
            kind = "/".join(sorted(place.socket_types))
            message = f"the {kind} socket `{place.name}` has no LINGER, and {ending}"
            yield file.make_finding(creation.call, message, creation.scope)


def _describe_ending(sockets: FileSockets, place: SocketPlace) -> str:
    """Return what ends a socket without a limit, empty for nothing."""
    contexts = [sockets.context_of(making) for making in place.creations]
    for context in contexts:
        for use in context.calls_to("term", "destroy") if context is not None else ():
            if not _has_argument(use):
                return f"`{context.name}.{use.method}()` in line {use.line} waits for its unsent messages"  # type: ignore[union-attr]
    closes = place.calls_to("close")
    if closes and not any(_has_argument(use) for use in closes):
        return "its unsent messages keep its context from ending"
    return ""


def _has_argument(use: SocketUse) -> bool:
    return use.call is not None and bool(use.call.args or use.call.keywords)


def _has_linger(file: PythonFile, sockets: FileSockets, place: SocketPlace) -> bool:
    if place.has_option("LINGER", file) or any(use.kind in ("argument", "escape") for use in place.uses):
        return True
    if any(_has_argument(use) for use in place.calls_to("close")):
        return True
    for creation in place.creations:
        context = sockets.context_of(creation)
        if context is not None and any(is_option_set_by(use, "LINGER", file) for use in context.uses):
            return True
    return False


RULE = Rule(
    code="Z308", title="no LINGER before close", action="review", required_words=(b"zmq",), check_file=check
)

_ASK = "import zmq\n\ndef ask(ctx, peer):\n    s = ctx.socket(zmq.{kind}){mark}\n    s.connect(peer)\n"


def _make_case(kind: str, rest: str, mark: str = "") -> RuleCase:
    return RuleCase(_ASK.format(kind=kind, mark=mark) + rest)


MUST = (
    _make_case("REQ", "    s.send(b'')\n    s.close()\n", "  # <--"),
    _make_case("PUSH", "    s.RCVTIMEO = 5  # LINGER\n    s.close()\n", "  # <--"),
    _make_case("PUB", "    text = 'LINGER'\n    s.close()\n", "  # <--"),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self):\n        self.c = zmq.Context()\n"
        "        self.s = self.c.socket(zmq.DEALER)  # <--\n        self.s.connect('x')\n\n"
        "    def end(self):\n        self.c.term()\n"
    ),
    RuleCase(
        "import zmq\nctx = zmq.Context()\na = ctx.socket(zmq.REQ)\na.linger = 0\na.connect('x')\n"
        "b = ctx.socket(zmq.REQ)  # <--\nb.connect('y')\na.close()\nb.close()\n"
    ),
)
MUST_NOT = (
    _make_case("REQ", "    s.setsockopt(zmq.LINGER, 0)\n    s.close()\n"),
    _make_case("REQ", "    s.linger = 0\n    s.close()\n"),
    _make_case("REQ", "    s.LINGER = 100\n    s.close()\n"),
    _make_case("REQ", "    s.close(linger=0)\n"),
    _make_case("REQ", "    s.close(0)\n"),
    _make_case("REQ", "    set_up(s)\n    s.close()\n"),
    _make_case("REQ", "    s.send(b'')\n"),
    _make_case("SUB", "    s.close()\n"),
    _make_case("PULL", "    s.close()\n"),
    RuleCase("import zmq\n\ndef f(ctx):\n    s = ctx.socket(zmq.REP)\n    s.bind('x')\n    s.close()\n"),
    RuleCase("import zmq\n\ndef f(ctx):\n    s = ctx.socket(zmq.PUB)\n    s.bind('x')\n    s.close()\n"),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self):\n        self.c = zmq.Context()\n"
        "        self.c.linger = 0\n"
        "        self.s = self.c.socket(zmq.DEALER)\n        self.s.connect('x')\n\n    def end(self):\n"
        "        self.c.term()\n"
    ),
    RuleCase(
        "import zmq\n\ndef f():\n    ctx = zmq.Context()\n    s = ctx.socket(zmq.REQ)\n"
        "    s.connect('x')\n    ctx.destroy(linger=0)\n"
    ),
)
