"""A socket that leaks

A socket that a function creates and does not close on every path stays open until the interpreter collects
it, with its descriptor, its buffers and its unsent messages, and the `term()` of its context waits for it
without limit. It happens on the path that nobody tests: a time-out raises, and the `close()` below is never
reached.

Reported for local sockets that stay in their function: never closed; open when one of their own operations
fails; open on a return or a raise; created again while the previous one is open. And for an attribute that a
method other than the constructor creates at each call, and that is never closed.

Instead: `with closing(...)`, or `try` with the `close()` in `finally`; for requests a channel.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis.exit_paths import OpenExit
from argosy.refit.analysis.socket_lifetime import can_be_closed, find_leaking_exits
from argosy.refit.analysis.socket_uses import SocketCreation, SocketPlace, enclosing_function, find_sockets
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile

_EXIT_PRECEDENCE = ("recreate", "end", "return", "raise", "use")
_EXIT_MESSAGES = {
    "recreate": "is created again in line {line} while the previous one is open",
    "end": "is not closed at the end in line {line}",
    "return": "is not closed on the return in line {line}",
    "raise": "is not closed on the raise in line {line}",
    "use": "is not closed when line {line} fails",
}


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each socket that may stay open, with one reason."""
    sockets = find_sockets(file)
    for place in sockets.sockets:
        creation = place.creations[0]
        if place.is_local:
            leaks = find_leaking_exits(file, sockets, place)
            if leaks:
                message = f"{_describe_socket(creation)} `{place.name}` {_describe_leak(place, leaks)}"
                yield file.make_finding(creation.call, message, creation.scope)
        elif place.is_attribute and not can_be_closed(place):
            for creation in place.creations:
                if _is_recreated_per_call(file, place, creation):
                    method = creation.scope.qualified_name()
                    message = (
                        f"{_describe_socket(creation)} `{place.name}` is created by each call of `{method}`"
                        " and never closed"
                    )
                    yield file.make_finding(creation.call, message, creation.scope)
                    break


def _describe_socket(creation: SocketCreation) -> str:
    return f"the {creation.socket_type} socket" if creation.socket_type else "the socket"


def _describe_leak(place: SocketPlace, leaks: list[OpenExit]) -> str:
    if not can_be_closed(place) and not any(leak.kind == "recreate" for leak in leaks):
        return "is never closed"
    creation = place.creations[0]
    leak = min(leaks, key=lambda leak: (_EXIT_PRECEDENCE.index(leak.kind), leak.line))
    if leak.kind == "recreate" and leak.line == creation.call.lineno:
        return "is created again by the next iteration of the loop while the previous one is open"
    return _EXIT_MESSAGES[leak.kind].format(line=leak.line)


def _is_recreated_per_call(file: PythonFile, place: SocketPlace, creation: SocketCreation) -> bool:
    """Return whether a repeatable method creates an attribute without checking for the old one."""
    function = enclosing_function(creation.scope)
    if function is None or function.parent is not place.owner:
        return False
    callers = _callers(file, place, function.name)
    if function.name in _ONE_TIME_METHODS or (callers <= _ONE_TIME_METHODS and callers):
        return False
    tests = [use for use in place.uses if use.kind == "test" and enclosing_function(use.scope) is function]
    is_guarded = any(isinstance(node, ast.If) for node in file.ancestors(creation.call))
    return not tests and not is_guarded and bool(callers)


# Methods that run once in an object's lifetime.
_ONE_TIME_METHODS = frozenset(
    [
        "__init__",
        "__new__",
        "__enter__",
        "__aenter__",
        "setUp",
        "setUpClass",
        "setup",
        "setup_method",
        "run",
        "start",
    ]
)


def _callers(file: PythonFile, place: SocketPlace, name: str) -> set[str]:
    """Return the methods of a class that call its method `name`."""
    found: set[str] = set()
    for node, scope in file.nodes(ast.Attribute):
        if node.attr == name and isinstance(node.value, ast.Name) and node.value.id == "self":
            function = enclosing_function(scope)
            while function is not None and function.parent is not place.owner:
                function = enclosing_function(function.parent)
            if function is not None:
                found.add(function.name)
    return found


RULE = Rule(code="Z304", title="socket leaks", action="review", required_words=(b"zmq",), check_file=check)

_CREATION = "import zmq\n\ndef f(ctx, peer):\n    sock = ctx.socket(zmq.REQ)"
_LEAK, _KEPT = _CREATION + "  # <--\n", _CREATION + "\n"
MUST = (
    RuleCase(_LEAK + "    sock.connect(peer)\n    sock.send(b'x')\n"),
    RuleCase(_LEAK + "    sock.send(b'x')\n    data = sock.recv()\n    sock.close()\n    return data\n"),
    RuleCase(_LEAK + "    if peer is None:\n        return 1\n    sock.close()\n"),
    RuleCase(_LEAK + "    if peer is None:\n        raise ValueError('x')\n    sock.close()\n"),
    RuleCase(
        _LEAK
        + "    try:\n        sock.send(b'x')\n        sock.close()\n    except zmq.Again:\n        pass\n"
    ),
    RuleCase(
        _LEAK + "    try:\n        sock.send(b'x')\n    except ValueError:\n        pass\n    sock.close()\n"
    ),
    RuleCase(_LEAK + "    try:\n        return sock.recv()\n    finally:\n        ctx.term()\n"),
    RuleCase(
        "import zmq\n\ndef f(ctx):\n    for port in range(5):\n"
        "        s = ctx.socket(zmq.PUB)  # <--\n        s.bind(f'tcp://*:{port}')\n    s.close()\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def ask(self):\n        self.connect()\n        return self.s.recv()\n\n"
        "    def connect(self):\n        self.s = self.ctx.socket(zmq.REQ)  # <--\n"
        "        self.s.connect('x')\n"
    ),
)
MUST_NOT = (
    RuleCase(_KEPT + "    try:\n        sock.send(b'x')\n    finally:\n        sock.close()\n"),
    RuleCase(
        _KEPT + "    try:\n        return sock.recv()\n    finally:\n        if sock is not None:\n"
        "            sock.close(0)\n"
    ),
    RuleCase(
        _KEPT + "    try:\n        x = sock.recv()\n    except Exception:\n        x = None\n"
        "    sock.close()\n    return x\n"
    ),
    RuleCase(
        _KEPT + "    try:\n        return sock.recv()\n    finally:\n        try:\n            sock.close()\n"
        "            ctx.term()\n        except Exception:\n            pass\n"
    ),
    RuleCase(_KEPT + "    with sock:\n        sock.send(b'x')\n"),
    RuleCase("import zmq\n\ndef f(ctx):\n    with ctx.socket(zmq.REQ) as sock:\n        sock.send(b'x')\n"),
    RuleCase(
        "import zmq\nfrom contextlib import closing\n\ndef f(ctx):\n"
        "    with closing(ctx.socket(zmq.REQ)) as sock:\n        sock.send(b'x')\n"
    ),
    RuleCase(_KEPT + "    return sock\n"),
    RuleCase(_KEPT + "    peer.append(sock)\n"),
    RuleCase(_KEPT + "    peer.sock = sock\n"),
    RuleCase(_KEPT + "    yield sock\n    sock.close()\n"),
    RuleCase(_KEPT + "    atexit.register(sock.close)\n    sock.send(b'x')\n"),
    RuleCase(_KEPT + "    def end():\n        sock.close()\n    return end\n"),
    RuleCase(
        _KEPT + "    try:\n        sock.connect(peer)\n        return sock\n"
        "    except Exception:\n        return None\n"
    ),
    RuleCase(
        _KEPT + "    try:\n        sock.send(b'x')\n        peer[1] = sock\n    except zmq.ZMQError:\n"
        "        if sock and not sock.closed:\n            sock.close()\n        return None\n"
    ),
    RuleCase(_KEPT + "    while True:\n        print(len(peer))\n"),
    RuleCase(
        "import zmq\n\ndef f():\n    ctx = zmq.Context()\n    s = ctx.socket(zmq.REQ)\n"
        "    try:\n        s.send(b'')\n    finally:\n        ctx.destroy(linger=0)\n"
    ),
    RuleCase(
        "import zmq\n\ndef f():\n    with zmq.Context() as ctx:\n        s = ctx.socket(zmq.REQ)\n"
        "        s.send(b'')\n"
    ),
    RuleCase(
        "import zmq\n\ndef f(ctx):\n    sock = None\n    try:\n        sock = ctx.socket(zmq.REQ)\n"
        "        sock.send(b'')\n"
        "    except zmq.ZMQError:\n        print('x')\n    finally:\n        if sock:\n"
        "            sock.close()\n"
    ),
    RuleCase(
        "import zmq\n\ndef f(ctx):\n    for _ in range(3):\n        s = ctx.socket(zmq.REQ)\n        try:\n"
        "            s.send(b'')\n            break\n        except zmq.Again:\n            continue\n"
        "        finally:\n            s.close()\n"
    ),
    RuleCase("import zmq\nctx = zmq.Context()\nsock = ctx.socket(zmq.REQ)\nsock.send(b'x')\n"),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, ctx):\n        self.s = ctx.socket(zmq.REQ)\n\n"
        "    def ask(self):\n        if self.t is None:\n            self.t = self.ctx.socket(zmq.REQ)\n"
        "        self.ask()\n"
    ),
)
