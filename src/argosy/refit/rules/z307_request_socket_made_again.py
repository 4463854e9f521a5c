"""A REQ socket that is made again after a failure

A REQ socket whose reply never came can neither send nor be saved, so the code closes it and makes another.
What goes wrong: the old one is closed with its default linger and holds the context; the new one is not set
up as the first was (time-outs, keys, linger); another thread still has the old one; the request that failed
has perhaps been executed, and is sent once more.

Told where an attribute's REQ is made in an `except`, in a method that an `except` calls, or after it was
closed in the same method; and where a loop makes a local REQ for each try until one succeeds.

Instead: a channel (`argosy.wire.connect`): it connects anew by itself, each request ends with a reply or a
named error, and only what is declared idempotent is sent again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.file import PythonFile
from argosy.refit.finding import Finding
from argosy.refit.lifetime import loops_around
from argosy.refit.rule import Case, Rule
from argosy.refit.sockets import Making, Place, find_sockets, function_of

_ONCE = frozenset({"__init__", "__new__", "setUp", "setup_method"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Tell each making of a REQ socket that follows a failure."""
    for place in find_sockets(file).sockets:
        for making in place.makings:
            if making.type == "REQ" and (how := _how(file, place, making)):
                message = f"the REQ socket `{place.name}` is made again {how}"
                yield file.finding(making.call, message, making.scope)


def _how(file: PythonFile, place: Place, making: Making) -> str:
    """Return how a making follows a failure, empty where it does not."""
    function = function_of(making.scope)
    if place.is_local:
        return "for each try of a loop" if _is_in_retry_loop(file, place, making) else ""
    if _is_in_handler(file, making.call):
        return "in an `except`"
    if function is None or function.name in _ONCE:
        return ""
    if any(
        use.line < making.call.lineno and function_of(use.scope) is function for use in place.calls("close")
    ):
        return "after a close"
    if (
        place.is_attribute
        and function.parent is place.owner
        and _is_called_by_handler(file, place, function.name)
    ):
        return f"by `{function.name}`, which an `except` calls"
    return ""


def _is_in_handler(file: PythonFile, node: ast.AST) -> bool:
    for around in file.ancestors(node):
        if isinstance(around, ast.ExceptHandler):
            return True
        if isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            return False
    return False


def _is_called_by_handler(file: PythonFile, place: Place, name: str) -> bool:
    for node, scope in file.nodes(ast.Attribute):
        if node.attr == name and isinstance(node.value, ast.Name) and node.value.id == "self":
            function = function_of(scope)
            if function is not None and function.parent is place.owner and _is_in_handler(file, node):
                return True
    return False


def _is_in_retry_loop(file: PythonFile, place: Place, making: Making) -> bool:
    """Return whether a loop makes a socket until a try succeeds: a handler goes on, success leaves.

    A loop over peers, each asked once, is none.
    """
    for loop in loops_around(file, making.call):
        inner = [node for statement in loop.body for node in ast.walk(statement)]
        tries = [node for node in inner if isinstance(node, ast.Try)]
        handled = {
            id(node) for attempt in tries for handler in attempt.handlers for node in ast.walk(handler)
        }
        is_left = any(isinstance(node, ast.Return | ast.Break) and id(node) not in handled for node in inner)
        is_going_on = any(_goes_on(handler) for attempt in tries for handler in attempt.handlers)
        if is_left and is_going_on and not _goes_over_peers(loop, place):
            return True
    return False


def _goes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return not isinstance(last, ast.Return | ast.Raise | ast.Break)


def _goes_over_peers(loop: ast.AST, place: Place) -> bool:
    """Return whether what a loop counts decides whom its socket connects to."""
    if not isinstance(loop, ast.For | ast.AsyncFor):
        return False
    names = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    for _ in range(2):
        for node in ast.walk(loop):
            if isinstance(node, ast.Assign) and _names(node.value) & names:
                names |= {
                    item.id
                    for target in node.targets
                    for item in ast.walk(target)
                    if isinstance(item, ast.Name)
                }
    names.discard(place.name)
    return any(use.call is not None and _names(*use.call.args) & names for use in place.calls("connect"))


def _names(*nodes: ast.AST) -> set[str]:
    return {item.id for node in nodes for item in ast.walk(node) if isinstance(item, ast.Name)}


RULE = Rule(code="Z307", title="request socket made again", action="review", words=(b"REQ",), file=check)

_CLASS = "import zmq\n\nclass A:\n    def __init__(self, ctx):\n        self.s = ctx.socket(zmq.REQ)\n\n"
_LOOP = (
    "import zmq\n\ndef ask(ctx, peer, peers):\n    {loop}:\n        s = ctx.socket(zmq.REQ){mark}\n"
    "        s.connect(peer)\n"
)
_TRY = (
    "        try:\n            s.send(b'x')\n            return s.recv()\n        except zmq.Again:\n"
    "            {then}\n        finally:\n            s.close()\n"
)
MUST = (
    Case(
        _CLASS
        + "    def ask(self):\n        try:\n            return self.s.recv()\n        except zmq.Again:\n"
        "            self.s.close()\n            self.s = self.ctx.socket(zmq.REQ)  # <--\n"
    ),
    Case(
        _CLASS
        + "    def reset(self):\n        self.s.close(0)\n        self.s = self.ctx.socket(zmq.REQ)  # <--\n"
    ),
    Case(
        "import zmq\n\nclass A:\n    def ask(self):\n        try:\n            return self.s.recv()\n"
        "        except zmq.ZMQError as error:\n            self._connect()\n\n"
        "    def _connect(self):\n        self.s = self.ctx.socket(zmq.REQ)  # <--\n"
    ),
    Case(_LOOP.format(loop="for attempt in range(3)", mark="  # <--") + _TRY.format(then="continue")),
    Case(_LOOP.format(loop="while True", mark="  # <--") + _TRY.format(then="print('again')")),
)
MUST_NOT = (
    Case(
        _CLASS + "    def ask(self):\n        try:\n            return self.s.recv()\n"
        "        except zmq.Again:\n            return None\n"
    ),
    Case(_CLASS + "    def end(self):\n        self.s.close()\n"),
    Case(_LOOP.format(loop="for peer in peers", mark="") + _TRY.format(then="continue")),
    Case(_LOOP.format(loop="for attempt in range(3)", mark="") + _TRY.format(then="raise")),
    Case(
        "import zmq\n\ndef watch(ctx, peer, peers):\n    while peers:\n        s = ctx.socket(zmq.REQ)\n"
        "        s.connect(peer)\n"
        "        try:\n            s.send(b'')\n            print(s.recv())\n        except zmq.Again:\n"
        "            print('down')\n        s.close()\n"
    ),
    Case(
        "import zmq\n\nclass A:\n    def lazy(self):\n        if self.s is None:\n"
        "            self.s = self.ctx.socket(zmq.REQ)\n        return self.s\n"
    ),
    Case(
        "import zmq\n\nclass A:\n    def ask(self):\n        try:\n            return self.s.recv()\n"
        "        except zmq.Again:\n"
        "            self.s.close()\n            self.s = self.ctx.socket(zmq.SUB)\n"
    ),
)
