"""A socket that may block forever

A REQ socket whose peer was killed gets no reply and no error: a `recv()` without a time-out never returns,
and blocks the thread, its locks, and the end of the agent. The same holds for a loop that checks a flag
(`while self.running`) and then waits in `recv()` for a message: it cannot be stopped until one arrives.

Not reported where a time-out is set on the socket or its context (RCVTIMEO), where it is polled, where
NOBLOCK is passed, for asyncio sockets, and where other code gets the socket and may configure it. A server's
`while True: recv()` is meant to wait.

Instead: a channel (`argosy.wire.connect`), where each request has a deadline; or RCVTIMEO; or `poll()` first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis import pyzmq_names
from argosy.refit.analysis.socket_lifetime import iter_enclosing_loops
from argosy.refit.analysis.socket_uses import (
    RECEIVE_METHODS,
    FileSockets,
    SocketPlace,
    SocketUse,
    find_sockets,
    is_option_set_by,
)
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name

_REQUESTING_TYPES = frozenset({"REQ", "DEALER"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Report the first receive of a socket that may block without limit."""
    sockets = find_sockets(file)
    for place in sockets.sockets:
        use = _find_unbounded_receive(file, sockets, place)
        if use is not None:
            kind = "/".join(sorted(filter(None, place.socket_types)))
            reason = (
                "its peer may be gone"
                if place.socket_types & _REQUESTING_TYPES
                else "the loop is stopped by a flag"
            )
            message = (
                f"`{place.name}.{use.method}()` waits without a time-out on a {kind} socket, and {reason}"
            )
            yield file.make_finding(use.node, message, use.scope)


def _find_unbounded_receive(file: PythonFile, sockets: FileSockets, place: SocketPlace) -> SocketUse | None:
    receives = place.calls_to(*RECEIVE_METHODS)
    if not receives or _is_bounded(file, sockets, place):
        return None
    for use in sorted(receives, key=lambda use: use.line):
        if _can_block(file, use) and (place.socket_types & _REQUESTING_TYPES or _is_in_flag_loop(file, use)):
            return use
    return None


def _is_bounded(file: PythonFile, sockets: FileSockets, place: SocketPlace) -> bool:
    if any(use.kind in ("poll", "argument", "escape", "with") or use.method == "poll" for use in place.uses):
        return True
    if place.has_option("RCVTIMEO", file):
        return True
    for creation in place.creations:
        if creation.context is None or not creation.socket_type:
            return True
        context = sockets.context_of(creation)
        if context is not None and any(is_option_set_by(use, "RCVTIMEO", file) for use in context.uses):
            return True
    return _is_async(sockets, place)


def _is_async(sockets: FileSockets, place: SocketPlace) -> bool:
    names = {id(site.call): site.name for site in sockets.own_contexts}
    for creation in place.creations:
        context = sockets.context_of(creation)
        creation_nodes = (
            [creation.context, *(item.call for item in context.creations)] if context else [creation.context]
        )
        for node in creation_nodes:
            name = names.get(id(node), "zmq.Context")
            is_instance = isinstance(node, ast.Call) and "asyncio" in dotted_name(node.func)
            if name != "zmq.Context" or is_instance:
                return True
    return False


def _can_block(file: PythonFile, use: SocketUse) -> bool:
    """Return whether a receive has no flags and is not awaited."""
    assert use.call is not None
    if isinstance(file.parent(use.call), ast.Await):
        return False
    arguments = [*use.call.args, *(item.value for item in use.call.keywords if item.arg == "flags")]
    return not any(_is_flag(file, use, argument) for argument in arguments)


def _is_flag(file: PythonFile, use: SocketUse, argument: ast.expr) -> bool:
    if isinstance(argument, ast.Constant):
        return bool(argument.value)
    if isinstance(argument, ast.BinOp):
        return _is_flag(file, use, argument.left) or _is_flag(file, use, argument.right)
    name = pyzmq_names.resolve_constant(file, argument, use.scope)
    return not name or name in ("NOBLOCK", "DONTWAIT")


def _is_in_flag_loop(file: PythonFile, use: SocketUse) -> bool:
    """Return whether an enclosing loop tests a flag that it cannot see while it waits."""
    for loop in iter_enclosing_loops(file, use.node):
        if isinstance(loop, ast.While) and not isinstance(loop.test, ast.Constant):
            return _is_flag_test(loop.test)
    return False


def _is_flag_test(test: ast.expr) -> bool:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _is_flag_test(test.operand)
    if isinstance(test, ast.BoolOp):
        return any(_is_flag_test(value) for value in test.values)
    if isinstance(test, ast.Call):
        return isinstance(test.func, ast.Attribute) and test.func.attr in ("is_set", "is_alive")
    return isinstance(test, ast.Attribute | ast.Name)


RULE = Rule(
    code="Z303",
    title="socket may block for ever",
    action="review",
    required_words=(b"zmq",),
    check_file=check,
)

_REQ = "import zmq\n\ndef ask(ctx):\n    sock = ctx.socket(zmq.REQ)\n    sock.connect('ipc://a')\n"
_LOOP = (
    "import zmq\n\nclass A:\n    def __init__(self, ctx):\n        self.sock = ctx.socket(zmq.{kind})\n"
    "{setup}"
    "    def run(self):\n        while {test}:\n            {receive}\n"
)


def _loop_case(kind: str, test: str, receive: str = "self.sock.recv()  # <--", setup: str = "") -> RuleCase:
    return RuleCase(_LOOP.format(kind=kind, test=test, receive=receive, setup=setup))


MUST = (
    RuleCase(_REQ + "    sock.send(b'x')\n    return sock.recv()  # <--\n"),
    RuleCase(
        _REQ
        + "    sock.setsockopt(zmq.LINGER, 0)\n    sock.SNDTIMEO = 5\n    return sock.recv_json()  # <--\n"
    ),
    RuleCase(_REQ + "    return sock.recv(copy=False)  # <--\n"),
    RuleCase(_REQ + "    text = 'poll RCVTIMEO NOBLOCK'\n    return sock.recv_string(0)  # <--\n"),
    RuleCase("import zmq as z\ns = z.Context.instance().socket(z.DEALER)\ns.recv_multipart()  # <--\n"),
    _loop_case("SUB", "self.running"),
    _loop_case("REP", "not self.stop.is_set()"),
    _loop_case("PULL", "self.running and self.busy", "x = self.sock.recv_json(flags=0)  # <--"),
    RuleCase(
        "import zmq\n\nclass A:\n    def a(self, ctx):\n        self.x = ctx.socket(zmq.REQ)\n"
        "        self.y = ctx.socket(zmq.REQ)\n        self.y.RCVTIMEO = 9\n"
        "    def b(self):\n        self.y.recv()\n        return self.x.recv()  # <--\n"
    ),
)
MUST_NOT = (
    RuleCase(_REQ + "    sock.setsockopt(zmq.RCVTIMEO, 5000)\n    return sock.recv()\n"),
    RuleCase(_REQ + "    sock.rcvtimeo = 5000\n    return sock.recv()\n"),
    RuleCase(_REQ + "    if sock.poll(100):\n        return sock.recv()\n"),
    RuleCase(
        _REQ + "    poller = zmq.Poller()\n    poller.register(sock, zmq.POLLIN)\n    return sock.recv()\n"
    ),
    RuleCase(_REQ + "    return sock.recv(zmq.NOBLOCK)\n"),
    RuleCase(_REQ + "    return sock.recv_multipart(flags=zmq.DONTWAIT | zmq.NOBLOCK)\n"),
    RuleCase(_REQ + "    set_up(sock)\n    return sock.recv()\n"),
    RuleCase(_REQ + "    return zmq.select([sock], [], [], 1) and sock.recv()\n"),
    RuleCase(
        "import zmq\nctx = zmq.Context()\nctx.setsockopt(zmq.RCVTIMEO, 9)\ns = ctx.socket(zmq.REQ)\n"
        "s.recv()\n"
    ),
    RuleCase("import zmq\nctx = zmq.Context()\nctx.rcvtimeo = 9\ns = ctx.socket(zmq.REQ)\ns.recv()\n"),
    RuleCase(
        "import zmq.asyncio\nctx = zmq.asyncio.Context()\ns = ctx.socket(zmq.REQ)\n\n"
        "async def f():\n    return await s.recv()\n\nasync def g():\n    return s.recv()\n"
    ),
    RuleCase(
        "import socket\n\ndef f():\n    s = socket.socket(socket.AF_INET)\n    # zmq\n    return s.recv(9)\n"
    ),
    _loop_case("REP", "True", "self.sock.recv()"),
    _loop_case("SUB", "self.running", "self.sock.recv()", "        self.sock.RCVTIMEO = 100\n"),
    _loop_case("SUB", "self.running", "self.sock.poll(9) and self.sock.recv()"),
    _loop_case("REP", "self.count < 5", "self.sock.recv()"),
)
