"""A REQ socket that is recreated after a failure

A REQ socket without its reply can neither send again nor recover, so the code closes it and creates another.
What goes wrong: the old one is closed with its default linger and blocks the context; the new one lacks
settings of the first (time-outs, keys, linger); another thread still has the old one; the failed request may
have been executed, and is sent again.

Reported where an attribute's REQ socket is created in an `except`, in a method that an `except` calls, or
after a close in the same method; and where a loop creates a local REQ socket for each attempt until one
succeeds.

Instead: a channel (`argosy.wire.connect`): it reconnects by itself, each request ends with a reply or a named
error, and only what is declared idempotent is sent again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis.socket_lifetime import iter_enclosing_loops
from argosy.refit.analysis.socket_uses import SocketCreation, SocketPlace, enclosing_function, find_sockets
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile

_ONE_TIME_METHODS = frozenset({"__init__", "__new__", "setUp", "setup_method"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each creation of a REQ socket that follows a failure."""
    for place in find_sockets(file).sockets:
        for creation in place.creations:
            if creation.socket_type == "REQ" and (how := _describe_circumstance(file, place, creation)):
                message = f"the REQ socket `{place.name}` is recreated {how}"
                yield file.make_finding(creation.call, message, creation.scope)


def _describe_circumstance(file: PythonFile, place: SocketPlace, creation: SocketCreation) -> str:
    """Return how a creation follows a failure, empty if it does not."""
    function = enclosing_function(creation.scope)
    if place.is_local:
        return "for each attempt of a loop" if _is_in_retry_loop(file, place, creation) else ""
    if _is_in_handler(file, creation.call):
        return "in an `except`"
    if function is None or function.name in _ONE_TIME_METHODS:
        return ""
    if any(
        use.line < creation.call.lineno and enclosing_function(use.scope) is function
        for use in place.calls_to("close")
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
    for ancestor in file.ancestors(node):
        if isinstance(ancestor, ast.ExceptHandler):
            return True
        if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            return False
    return False


def _is_called_by_handler(file: PythonFile, place: SocketPlace, name: str) -> bool:
    for node, scope in file.nodes(ast.Attribute):
        if node.attr == name and isinstance(node.value, ast.Name) and node.value.id == "self":
            function = enclosing_function(scope)
            if function is not None and function.parent is place.owner and _is_in_handler(file, node):
                return True
    return False


def _is_in_retry_loop(file: PythonFile, place: SocketPlace, creation: SocketCreation) -> bool:
    """Return whether a loop creates a socket until an attempt succeeds: errors continue, success leaves.

    A loop over peers, each asked once, does not count.
    """
    for loop in iter_enclosing_loops(file, creation.call):
        inner = [node for statement in loop.body for node in ast.walk(statement)]
        try_statements = [node for node in inner if isinstance(node, ast.Try)]
        handled = {
            id(node)
            for attempt in try_statements
            for handler in attempt.handlers
            for node in ast.walk(handler)
        }
        has_exit = any(isinstance(node, ast.Return | ast.Break) and id(node) not in handled for node in inner)
        has_continuing_handler = any(
            _is_continuing(handler) for attempt in try_statements for handler in attempt.handlers
        )
        if has_exit and has_continuing_handler and not _is_loop_over_peers(loop, place):
            return True
    return False


def _is_continuing(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return not isinstance(last, ast.Return | ast.Raise | ast.Break)


def _is_loop_over_peers(loop: ast.AST, place: SocketPlace) -> bool:
    """Return whether the loop variable decides where its socket connects."""
    if not isinstance(loop, ast.For | ast.AsyncFor):
        return False
    names = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    for _ in range(2):
        for node in ast.walk(loop):
            if isinstance(node, ast.Assign) and _names_in(node.value) & names:
                names |= {
                    item.id
                    for target in node.targets
                    for item in ast.walk(target)
                    if isinstance(item, ast.Name)
                }
    names.discard(place.name)
    return any(
        use.call is not None and _names_in(*use.call.args) & names for use in place.calls_to("connect")
    )


def _names_in(*nodes: ast.AST) -> set[str]:
    return {item.id for node in nodes for item in ast.walk(node) if isinstance(item, ast.Name)}


RULE = Rule(
    code="Z307",
    title="request socket recreated",
    action="review",
    required_words=(b"REQ",),
    check_file=check,
)

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
    RuleCase(
        _CLASS
        + "    def ask(self):\n        try:\n            return self.s.recv()\n        except zmq.Again:\n"
        "            self.s.close()\n            self.s = self.ctx.socket(zmq.REQ)  # <--\n"
    ),
    RuleCase(
        _CLASS
        + "    def reset(self):\n        self.s.close(0)\n        self.s = self.ctx.socket(zmq.REQ)  # <--\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def ask(self):\n        try:\n            return self.s.recv()\n"
        "        except zmq.ZMQError as error:\n            self._connect()\n\n"
        "    def _connect(self):\n        self.s = self.ctx.socket(zmq.REQ)  # <--\n"
    ),
    RuleCase(_LOOP.format(loop="for attempt in range(3)", mark="  # <--") + _TRY.format(then="continue")),
    RuleCase(_LOOP.format(loop="while True", mark="  # <--") + _TRY.format(then="print('again')")),
)
MUST_NOT = (
    RuleCase(
        _CLASS + "    def ask(self):\n        try:\n            return self.s.recv()\n"
        "        except zmq.Again:\n            return None\n"
    ),
    RuleCase(_CLASS + "    def end(self):\n        self.s.close()\n"),
    RuleCase(_LOOP.format(loop="for peer in peers", mark="") + _TRY.format(then="continue")),
    RuleCase(_LOOP.format(loop="for attempt in range(3)", mark="") + _TRY.format(then="raise")),
    RuleCase(
        "import zmq\n\ndef watch(ctx, peer, peers):\n    while peers:\n        s = ctx.socket(zmq.REQ)\n"
        "        s.connect(peer)\n"
        "        try:\n            s.send(b'')\n            print(s.recv())\n        except zmq.Again:\n"
        "            print('down')\n        s.close()\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def lazy(self):\n        if self.s is None:\n"
        "            self.s = self.ctx.socket(zmq.REQ)\n        return self.s\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def ask(self):\n        try:\n            return self.s.recv()\n"
        "        except zmq.Again:\n"
        "            self.s.close()\n            self.s = self.ctx.socket(zmq.SUB)\n"
    ),
)
