"""A socket that two threads use

A ZeroMQ socket belongs to one thread at a time, and nothing checks it: two threads in one socket corrupt its
state, mix the parts of their messages, or abort the process (`Assertion failed`), rarely and under load. On a
REQ socket one thread gets the other's answer.

Reported for a socket in an attribute of `self` or in a module's variable on which two of these send, receive
or poll: a function passed to a Thread, a Timer, an executor, an HTTP route or a callback of another thread;
and the public methods, which run in the callers' threads. Setup in a constructor, before the threads start,
does not count, nor do uses under a lock. One class is checked at a time; uses of the socket by other objects
are not seen.

Instead: a socket for each thread; for requests a channel, which any thread may use; for events a topic.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis.socket_uses import (
    RECEIVE_METHODS,
    SEND_METHODS,
    SocketPlace,
    SocketUse,
    find_sockets,
)
from argosy.refit.analysis.thread_entries import MAIN_THREAD, FunctionGroup, find_threaded_groups
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name

_WORKING_METHODS = RECEIVE_METHODS | SEND_METHODS | {"poll"}
_SETUP_METHODS = frozenset({"__init__", "__new__", "__enter__", "setUp"})
_LOCK_WORDS = ("lock", "mutex", "semaphore", "guard")


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each socket once, at the first use by the second thread."""
    groups = find_threaded_groups(file)
    for place in find_sockets(file).sockets if groups else ():
        group = next((group for group in groups if group.owner is place.owner), None)
        if group is not None and not place.is_local:
            yield from _check_socket(file, place, group)


def _check_socket(file: PythonFile, place: SocketPlace, group: FunctionGroup) -> Iterator[Finding]:
    first_uses: dict[str, SocketUse] = {}
    functions_by_thread = group.functions_by_thread()
    for use in sorted(place.uses, key=lambda use: use.line):
        if not (use.kind == "call" and use.method in _WORKING_METHODS) or _is_locked(file, use):
            continue
        member = group.function_at(use.scope)
        if not member or member in _SETUP_METHODS:
            continue
        for thread, reached in functions_by_thread.items():
            if member in reached:
                first_uses.setdefault(thread, use)
    if len(first_uses) > 1:
        (first, first_use), (second, second_use) = sorted(first_uses.items(), key=lambda item: item[1].line)[
            :2
        ]
        first_text = _describe_use(first, first_use, group)
        message = f"`{place.name}` is used {first_text} and {_describe_use(second, second_use, group)}"
        yield file.make_finding(
            second_use.node, message, second_use.scope, symbol=f"{place.owner.qualified_name()} {place.name}"
        )


def _describe_use(thread: str, use: SocketUse, group: FunctionGroup) -> str:
    member = group.function_at(use.scope)
    position = f"in line {use.line}"
    thread_description = "the callers' thread" if thread == MAIN_THREAD else f"the thread `{thread}`"
    return (
        f"{position} by {thread_description}"
        if member == thread
        else f"{position} (`{member}`) by {thread_description}"
    )


def _is_locked(file: PythonFile, use: SocketUse) -> bool:
    for ancestor in file.ancestors(use.node):
        if isinstance(ancestor, ast.With) and any(_is_lock(item.context_expr) for item in ancestor.items):
            return True
        if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
    return False


def _is_lock(node: ast.expr) -> bool:
    written = dotted_name(node.func if isinstance(node, ast.Call) else node).lower()
    return any(word in written for word in _LOCK_WORDS)


RULE = Rule(
    code="Z305",
    title="socket used from two threads",
    action="report",
    required_words=(b"zmq",),
    check_file=check,
)

_HEAD = (
    "import threading, zmq\nfrom threading import Thread\n\nclass A:\n    def __init__(self, ctx):\n"
    "        self.s = ctx.socket(zmq.REQ)\n        self.s.send(b'hello')\n"
)
_LOOP = "    def _loop(self):\n        while self.running:\n            self.s.recv()\n\n"
_START = "        threading.Thread(target=self._loop, daemon=True).start()\n\n"
MUST = (
    RuleCase(_HEAD + _START + _LOOP + "    def ask(self):\n        self.s.send(b'x')  # <--\n"),
    RuleCase(
        _HEAD + "        Thread(None, self._loop).start()\n\n" + _LOOP + "    def ask(self):\n"
        "        return self._do()\n\n"
        "    def _do(self):\n        return self.s.recv()  # <--\n"
    ),
    RuleCase(
        _HEAD + _START + _LOOP + "    def other(self):\n        self.pool.submit(self._work, 1)\n\n"
        "    def _work(self, n):\n        self.s.send(b'x')  # <--\n"
    ),
    RuleCase(
        "import threading, zmq\n\nclass A(threading.Thread):\n    def __init__(self, ctx):\n"
        "        super().__init__()\n"
        "        self.s = ctx.socket(zmq.PUB)\n\n    def run(self):\n        self.s.send(b'x')\n\n"
        "    def publish(self, data):\n        self.s.send(data)  # <--\n"
    ),
    RuleCase(
        "import threading, zmq\nctx = zmq.Context()\nsock = ctx.socket(zmq.PUB)\n\ndef beat():\n"
        "    sock.send(b'x')\n\n"
        "def main():\n    threading.Thread(target=beat).start()\n    sock.send(b'y')  # <--\n"
    ),
    RuleCase(
        _HEAD + "\n    def serve(self, app):\n        @app.route('/x')\n        def answer():\n"
        "            self.s.send(b'x')\n"
        "\n    def ask(self):\n        return self.s.recv()  # <--\n"
    ),
)
MUST_NOT = (
    RuleCase(
        _HEAD + _START + _LOOP + "    def end(self):\n        self.running = False\n        self.s.close()\n"
    ),
    RuleCase(_HEAD + "\n" + _LOOP + "    def ask(self):\n        self.s.send(b'x')\n"),
    RuleCase(
        _HEAD + _START + "    def _loop(self):\n        with self._lock:\n            self.s.recv()\n\n"
        "    def ask(self):\n        with self._lock:\n            self.s.send(b'x')\n"
    ),
    RuleCase(
        _HEAD + _START + _LOOP + "    def ask(self):\n        s = self.ctx.socket(zmq.REQ)\n"
        "        s.send(b'x')\n"
        "        return s.recv()\n"
    ),
    RuleCase(
        _HEAD + "        self.t = ctx.socket(zmq.PUB)\n" + _START + _LOOP + "    def ask(self):\n"
        "        self.t.send(b'x')\n"
    ),
    RuleCase(
        _HEAD + _START + "    def _loop(self):\n        self._do()\n\n    def _do(self):\n"
        "        self.s.recv()\n"
    ),
    RuleCase(
        "import threading, zmq\n\nclass A:\n    def __init__(self, ctx):\n"
        "        self.s = ctx.socket(zmq.REQ)\n\n"
        "    def start(self):\n        threading.Thread(target=self.run).start()\n\n    def run(self):\n"
        "        self.s.recv()\n\n"
        "class B:\n    def __init__(self, ctx):\n        self.s = ctx.socket(zmq.REQ)\n\n"
        "    def ask(self):\n        self.s.recv()\n"
    ),
)
