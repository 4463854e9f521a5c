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
from collections.abc import Iterator, Mapping

import msgspec

from argosy.refit.analysis.socket_uses import (
    RECEIVE_METHODS,
    SELF_NAMES,
    SEND_METHODS,
    SocketPlace,
    SocketUse,
    enclosing_class,
    enclosing_function,
    find_sockets,
)
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

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


# -- threads -----------------------------------------------------------------------------------------


MAIN_THREAD = "main"
_THREAD_CLASSES = frozenset({"threading.Thread", "threading.Timer", "multiprocessing.pool.ThreadPool"})
# Libraries that run callbacks in a thread of their own.
_CALLBACK_LIBRARIES = ("sounddevice.", "pyaudio.", "watchdog.", "pynput.", "paho.", "schedule.")
_ROUTE_DECORATORS = frozenset({"route", "get", "post", "put", "delete"})


class ThreadEntry(msgspec.Struct, frozen=True):
    """One thread that enters a group: the function that it begins with, and the line that starts it."""

    name: str
    line: int


class FunctionGroup:
    """The functions of one class, or of the module.

    owner: the class's scope or the module's. threads: those that begin in it. calls: by function, the
    functions of the same group that it calls. functions: by name.
    """

    def __init__(self, owner: NameScope) -> None:
        self.owner = owner
        self.functions: dict[str, NameScope] = {
            child.name: child
            for child in owner.children
            if child.kind == "function" and child.name != "<lambda>"
        }
        self.calls: dict[str, set[str]] = {}
        self.threads: dict[str, ThreadEntry] = {}

    def function_at(self, scope: NameScope | None) -> str:
        """Return the function of the group that a scope is in, by name; empty outside of them.

        An inner function that is a thread of its own counts by its own name.
        """
        while scope is not None and scope is not self.owner:
            if scope.kind == "function" and scope.name in self.threads and scope.parent is not self.owner:
                return scope.name
            if scope.parent is self.owner and scope.kind == "function":
                return scope.name
            scope = scope.parent
        return ""

    def reachable_from(self, start: str) -> set[str]:
        """Return the functions that run when `start` is called, with itself; not those of other threads."""
        found, pending = {start}, [start]
        while pending:
            for name in self.calls.get(pending.pop(), ()):
                if name not in found:
                    found.add(name)
                    pending.append(name)
        return found

    def functions_by_thread(self) -> Mapping[str, set[str]]:
        """Return what runs in each thread: each thread by its first function, and `main`."""
        by_thread = {name: self.reachable_from(name) for name in self.threads}
        called = set().union(*self.calls.values()) if self.calls else set()
        roots = [
            name
            for name in self.functions
            if name not in self.threads and name not in called and self.is_public(name)
        ]
        by_thread[MAIN_THREAD] = (
            set().union(*(self.reachable_from(name) for name in roots)) if roots else set()
        )
        return by_thread

    def is_public(self, name: str) -> bool:
        return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def find_threaded_groups(file: PythonFile) -> list[FunctionGroup]:
    """Return the groups of a file that have threads; cached per file."""
    return file.compute_once(_find_groups)


def _find_groups(file: PythonFile) -> list[FunctionGroup]:
    groups: dict[int, FunctionGroup] = {}
    for scope, name, line in _find_thread_starts(file):
        group = groups.setdefault(id(scope), FunctionGroup(scope))
        group.threads.setdefault(name, ThreadEntry(name, line))
    found = list(groups.values())
    for group in found:
        _add_calls(file, group)
    return found


def _find_thread_starts(file: PythonFile) -> Iterator[tuple[NameScope, str, int]]:
    """Yield each function that a thread begins with: its group, its name, the line that starts it."""
    for call, scope in file.nodes(ast.Call):
        for target in _thread_targets(file, call, scope):
            yield from _entry_points(target, scope, call.lineno)
    for cls, scope in file.nodes(ast.ClassDef):
        origins = [file.origin(base, scope) for base in cls.bases]
        names = {origin.name for origin in origins if origin is not None}
        inner = next((child for child in scope.walk() if child.node is cls), None)
        if names & {"threading.Thread"} and inner is not None:
            yield inner, "run", cls.lineno
    for node, scope in file.nodes(ast.FunctionDef):
        owner = enclosing_class(scope)
        is_inner = scope.kind == "function" and any(map(_is_route, node.decorator_list))
        if is_inner and owner is not None:
            yield owner, node.name, node.lineno


def _thread_targets(file: PythonFile, call: ast.Call, scope: NameScope) -> Iterator[ast.expr]:
    """Yield the functions that a call passes to another thread."""
    func = call.func
    origin = file.origin(func, scope)
    name = origin.name if origin is not None else dotted_name(func)
    method = func.attr if isinstance(func, ast.Attribute) else name
    if name in _THREAD_CLASSES:
        at = 1
        yield from (item.value for item in call.keywords if item.arg in ("target", "function"))
        yield from call.args[at : at + 1]
    elif method == "submit" and call.args:
        yield call.args[0]
    elif method == "run_in_executor" and len(call.args) > 1:
        yield call.args[1]
    elif name in ("asyncio.to_thread", "thread.start_new_thread", "_thread.start_new_thread") and call.args:
        yield call.args[0]
    elif name.startswith(_CALLBACK_LIBRARIES):
        yield from (item.value for item in call.keywords if item.arg in ("callback", "stream_callback"))


def _entry_points(target: ast.expr, scope: NameScope, line: int) -> Iterator[tuple[NameScope, str, int]]:
    if (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id in SELF_NAMES
    ):
        owner = enclosing_class(scope)
        if owner is not None:
            yield owner, target.attr, line
    elif isinstance(target, ast.Name):
        owner = scope.owner_of(target.id)
        if owner is None:
            return
        if owner.kind == "module":
            yield owner, target.id, line
        elif (cls := enclosing_class(owner)) is not None:
            yield cls, target.id, line


def _is_route(node: ast.expr) -> bool:
    func = node.func if isinstance(node, ast.Call) else node
    return isinstance(node, ast.Call) and isinstance(func, ast.Attribute) and func.attr in _ROUTE_DECORATORS


def _add_calls(file: PythonFile, group: FunctionGroup) -> None:
    for call, scope in file.nodes(ast.Call):
        name = _called_function(call.func, group, scope)
        if name:
            member = group.function_at(enclosing_function(scope))
            if member:
                group.calls.setdefault(member, set()).add(name)


def _called_function(func: ast.expr, group: FunctionGroup, scope: NameScope) -> str:
    """Return the function of the group that a call calls; empty for any other."""
    if group.owner.kind == "class":
        is_own_method = (
            isinstance(func, ast.Attribute)
            and isinstance(func.value, ast.Name)
            and func.value.id in SELF_NAMES
        )
        if is_own_method and enclosing_class(scope) is group.owner:
            return func.attr if func.attr in group.functions else ""  # type: ignore[attr-defined]
        return ""
    is_name = isinstance(func, ast.Name) and func.id in group.functions
    return func.id if is_name and scope.owner_of(func.id) is group.owner else ""  # type: ignore[attr-defined]


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
