"""A socket that leaks

A socket that a function makes and does not close on every way out stays open until the interpreter collects
it: its descriptor, its buffers and what it has not sent stay with it, and the `term()` of its context waits
for it without end. It happens on the way that nobody tries: a time-out raises, and the `close()` below is
never reached.

Told for local sockets that stay in their function: never closed; open when one of their own operations
fails; open on a return or a raise; made anew while the last is open. And for an attribute that a method other
than the constructor makes each time it is called, and nothing ever closes.

Instead: `with closing(...)`, or `try` with the `close()` in `finally`; for requests a channel.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.file import PythonFile
from argosy.refit.finding import Finding
from argosy.refit.lifetime import find_leaks, is_closed
from argosy.refit.paths import Exit
from argosy.refit.rule import Case, Rule
from argosy.refit.sockets import Making, Place, find_sockets, function_of

_ORDER = ("again", "end", "return", "raise", "use")
_WAYS = {
    "again": "is made anew in line {line} while the last one is open",
    "end": "is not closed at the end in line {line}",
    "return": "is not closed on the return in line {line}",
    "raise": "is not closed on the raise in line {line}",
    "use": "is not closed when line {line} fails",
}


def check(file: PythonFile) -> Iterator[Finding]:
    """Tell each socket that may stay open, by the shortest reason."""
    sockets = find_sockets(file)
    for place in sockets.sockets:
        making = place.makings[0]
        if place.is_local:
            leaks = find_leaks(file, sockets, place)
            if leaks:
                message = f"{_kind(making)} `{place.name}` {_way(place, leaks)}"
                yield file.finding(making.call, message, making.scope)
        elif place.is_attribute and not is_closed(place):
            for making in place.makings:
                if _is_made_each_time(file, place, making):
                    method = making.scope.qualified_name()
                    message = (
                        f"{_kind(making)} `{place.name}` is made by each call of `{method}` and never closed"
                    )
                    yield file.finding(making.call, message, making.scope)
                    break


def _kind(making: Making) -> str:
    return f"the {making.type} socket" if making.type else "the socket"


def _way(place: Place, leaks: list[Exit]) -> str:
    if not is_closed(place) and not any(leak.how == "again" for leak in leaks):
        return "is never closed"
    making = place.makings[0]
    leak = min(leaks, key=lambda leak: (_ORDER.index(leak.how), leak.line))
    if leak.how == "again" and leak.line == making.call.lineno:
        return "is made anew by the next turn of the loop while the last one is open"
    return _WAYS[leak.how].format(line=leak.line)


def _is_made_each_time(file: PythonFile, place: Place, making: Making) -> bool:
    """Return whether a method that may be called again makes an attribute without asking for the old one."""
    function = function_of(making.scope)
    if function is None or function.parent is not place.owner:
        return False
    callers = _callers(file, place, function.name)
    if function.name in _ONCE or (callers <= _ONCE and callers):
        return False
    tests = [use for use in place.uses if use.kind == "test" and function_of(use.scope) is function]
    is_guarded = any(isinstance(node, ast.If) for node in file.ancestors(making.call))
    return not tests and not is_guarded and bool(callers)


# What an object's life has once.
_ONCE = frozenset(
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


def _callers(file: PythonFile, place: Place, name: str) -> set[str]:
    """Return the methods of a class that call its method `name`."""
    found: set[str] = set()
    for node, scope in file.nodes(ast.Attribute):
        if node.attr == name and isinstance(node.value, ast.Name) and node.value.id == "self":
            function = function_of(scope)
            while function is not None and function.parent is not place.owner:
                function = function_of(function.parent)
            if function is not None:
                found.add(function.name)
    return found


RULE = Rule(code="Z304", title="socket leaks", action="review", words=(b"zmq",), file=check)

_MADE = "import zmq\n\ndef f(ctx, peer):\n    sock = ctx.socket(zmq.REQ)"
_LEAK, _KEPT = _MADE + "  # <--\n", _MADE + "\n"
MUST = (
    Case(_LEAK + "    sock.connect(peer)\n    sock.send(b'x')\n"),
    Case(_LEAK + "    sock.send(b'x')\n    data = sock.recv()\n    sock.close()\n    return data\n"),
    Case(_LEAK + "    if peer is None:\n        return 1\n    sock.close()\n"),
    Case(_LEAK + "    if peer is None:\n        raise ValueError('x')\n    sock.close()\n"),
    Case(
        _LEAK
        + "    try:\n        sock.send(b'x')\n        sock.close()\n    except zmq.Again:\n        pass\n"
    ),
    Case(
        _LEAK + "    try:\n        sock.send(b'x')\n    except ValueError:\n        pass\n    sock.close()\n"
    ),
    Case(_LEAK + "    try:\n        return sock.recv()\n    finally:\n        ctx.term()\n"),
    Case(
        "import zmq\n\ndef f(ctx):\n    for port in range(5):\n"
        "        s = ctx.socket(zmq.PUB)  # <--\n        s.bind(f'tcp://*:{port}')\n    s.close()\n"
    ),
    Case(
        "import zmq\n\nclass A:\n    def ask(self):\n        self.connect()\n        return self.s.recv()\n\n"
        "    def connect(self):\n        self.s = self.ctx.socket(zmq.REQ)  # <--\n"
        "        self.s.connect('x')\n"
    ),
)
MUST_NOT = (
    Case(_KEPT + "    try:\n        sock.send(b'x')\n    finally:\n        sock.close()\n"),
    Case(
        _KEPT + "    try:\n        return sock.recv()\n    finally:\n        if sock is not None:\n"
        "            sock.close(0)\n"
    ),
    Case(
        _KEPT + "    try:\n        x = sock.recv()\n    except Exception:\n        x = None\n"
        "    sock.close()\n    return x\n"
    ),
    Case(
        _KEPT + "    try:\n        return sock.recv()\n    finally:\n        try:\n            sock.close()\n"
        "            ctx.term()\n        except Exception:\n            pass\n"
    ),
    Case(_KEPT + "    with sock:\n        sock.send(b'x')\n"),
    Case("import zmq\n\ndef f(ctx):\n    with ctx.socket(zmq.REQ) as sock:\n        sock.send(b'x')\n"),
    Case(
        "import zmq\nfrom contextlib import closing\n\ndef f(ctx):\n"
        "    with closing(ctx.socket(zmq.REQ)) as sock:\n        sock.send(b'x')\n"
    ),
    Case(_KEPT + "    return sock\n"),
    Case(_KEPT + "    peer.append(sock)\n"),
    Case(_KEPT + "    peer.sock = sock\n"),
    Case(_KEPT + "    yield sock\n    sock.close()\n"),
    Case(_KEPT + "    atexit.register(sock.close)\n    sock.send(b'x')\n"),
    Case(_KEPT + "    def end():\n        sock.close()\n    return end\n"),
    Case(
        _KEPT + "    try:\n        sock.connect(peer)\n        return sock\n"
        "    except Exception:\n        return None\n"
    ),
    Case(
        _KEPT + "    try:\n        sock.send(b'x')\n        peer[1] = sock\n    except zmq.ZMQError:\n"
        "        if sock and not sock.closed:\n            sock.close()\n        return None\n"
    ),
    Case(_KEPT + "    while True:\n        print(len(peer))\n"),
    Case(
        "import zmq\n\ndef f():\n    ctx = zmq.Context()\n    s = ctx.socket(zmq.REQ)\n"
        "    try:\n        s.send(b'')\n    finally:\n        ctx.destroy(linger=0)\n"
    ),
    Case(
        "import zmq\n\ndef f():\n    with zmq.Context() as ctx:\n        s = ctx.socket(zmq.REQ)\n"
        "        s.send(b'')\n"
    ),
    Case(
        "import zmq\n\ndef f(ctx):\n    sock = None\n    try:\n        sock = ctx.socket(zmq.REQ)\n"
        "        sock.send(b'')\n"
        "    except zmq.ZMQError:\n        print('x')\n    finally:\n        if sock:\n"
        "            sock.close()\n"
    ),
    Case(
        "import zmq\n\ndef f(ctx):\n    for _ in range(3):\n        s = ctx.socket(zmq.REQ)\n        try:\n"
        "            s.send(b'')\n            break\n        except zmq.Again:\n            continue\n"
        "        finally:\n            s.close()\n"
    ),
    Case("import zmq\nctx = zmq.Context()\nsock = ctx.socket(zmq.REQ)\nsock.send(b'x')\n"),
    Case(
        "import zmq\n\nclass A:\n    def __init__(self, ctx):\n        self.s = ctx.socket(zmq.REQ)\n\n"
        "    def ask(self):\n        if self.t is None:\n            self.t = self.ctx.socket(zmq.REQ)\n"
        "        self.ask()\n"
    ),
)
