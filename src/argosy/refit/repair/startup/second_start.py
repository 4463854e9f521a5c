"""A loop on a ZeroMQ socket that the constructor has put in a thread, and that `run` puts in another.

Both read the same socket at the same time, which libzmq does not allow: sooner or later it ends the process
by an assertion. The thread of `run` goes; that of the constructor is there by then. It has to be certain
that the constructor starts it and that `run` does not bring it back, and nothing but its start may hang on
the name of the other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Final

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source.flow import dotted

NAME = "second-start"
_READS: Final = frozenset({"recv", "recv_json", "recv_string", "recv_multipart", "recv_pyobj", "poll"})
_KEEPS: Final = frozenset({"append", "extend"})
Methods = Mapping[str, ast.FunctionDef]


def may_apply(view: View) -> bool:
    return "zmq" in view.text and view.text.count("Thread(") > 1 and "def run(self" in view.text


def propose(view: View, around: Around) -> Iterator[Candidate]:
    for owner in view.body:
        if not isinstance(owner, ast.ClassDef):
            continue
        # The last of one name is the method.
        methods = {node.name: node for node in owner.body if isinstance(node, ast.FunctionDef)}
        if {"__init__", "run"} <= methods.keys():
            begun, sockets = _begun(methods), _sockets(owner)
            run = methods["run"]
            for statement, name, loop in _threads(run):
                if loop in begun and _holds(methods[loop], sockets) and not _revives(run, methods[loop]):
                    yield from _without(view, run, statement, name, loop)


def _begun(methods: Methods) -> set[str]:
    """Return the methods that are in a thread whenever the constructor has returned."""
    steps = _certain(methods["__init__"])
    for called in [dotted(call.func) for call in map(_call, steps) if call is not None]:
        if called.startswith("self.") and called[5:] in methods:
            steps += _certain(methods[called[5:]])
    calls = [dotted(call.func) for call in map(_call, steps) if call is not None]
    found = set[str]()
    for step in steps:
        if isinstance(step, ast.Assign) and f"{dotted(step.targets[0])}.start" in calls:
            found.add(_loop(step.value))
    return found & methods.keys()


def _certain(method: ast.FunctionDef) -> list[ast.stmt]:
    """Return the statements that a method that returns has run; none where it may return early."""
    is_early = any(isinstance(node, ast.Return) for node in ast.walk(method))
    return [] if is_early else list(method.body)


def _call(step: ast.stmt) -> ast.Call | None:
    return step.value if isinstance(step, ast.Expr) and isinstance(step.value, ast.Call) else None


def _loop(value: ast.expr) -> str:
    """Return the method that `Thread(target=self.method)` runs, empty for anything else."""
    if not (isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] == "Thread"):
        return ""
    target = next((dotted(each.value) for each in value.keywords if each.arg == "target"), "")
    return target[5:] if target.startswith("self.") else ""


def _sockets(owner: ast.ClassDef) -> set[str]:
    """Return the attributes of self that ZeroMQ sockets are kept in."""
    return {
        dotted(target)
        for node in ast.walk(owner)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "socket"
        and any(dotted(kind).startswith("zmq.") for kind in node.value.args)
        for target in node.targets
        if dotted(target).startswith("self.")
    }


def _holds(method: ast.FunctionDef, sockets: set[str]) -> bool:
    """Return whether a method goes round a loop in which it reads one of the sockets."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _READS
        and dotted(node.func.value) in sockets
        for loop in ast.walk(method)
        if isinstance(loop, ast.While)
        for node in ast.walk(loop)
    )


def _revives(run: ast.FunctionDef, loop: ast.FunctionDef) -> bool:
    """Return whether `run` may begin what had ended: it sets what the loop asks, or calls another."""
    asked = {
        dotted(node)
        for each in ast.walk(loop)
        if isinstance(each, ast.While)
        for node in ast.walk(each.test)
        if isinstance(node, ast.Attribute)
    }
    first = min(call.lineno for call in ast.walk(run) if isinstance(call, ast.Call) and _loop(call))
    before = [node for node in ast.walk(run) if isinstance(node, ast.expr) and node.lineno < first]
    sets = {
        dotted(node) for node in before if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    calls = [node for node in before if isinstance(node, ast.Call) and dotted(node.func).count(".") == 1]
    return bool(sets & asked) or any(dotted(call.func).startswith("self.") for call in calls)


def _threads(run: ast.FunctionDef) -> Iterator[tuple[ast.Assign, str, str]]:
    """Yield the statements of `run` that keep a thread under a local name, that, and the thread's method."""
    for node in ast.walk(run):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
            continue
        target, loop = node.targets[0], _loop(node.value)
        if isinstance(target, ast.Name) and loop:
            yield node, target.id, loop


def _without(view: View, run: ast.FunctionDef, made: ast.Assign, name: str, loop: str) -> Iterator[Candidate]:
    """Yield `run` without that thread, where it is only made, marked, started and kept in lists."""
    edits = [_line(view, made)]
    for use in ast.walk(run):
        if not (isinstance(use, ast.Name) and use.id == name and use is not made.targets[0]):
            continue
        statement = _statement(view, use)
        if isinstance(view.parents[use], ast.List) and isinstance(use.ctx, ast.Load):
            edit = _taken_out(view, use, statement)
        else:
            is_its = isinstance(view.parents[use], ast.Attribute) and _only_begins(statement, name)
            edit = _line(view, statement) if is_its else None
        if edit is None:
            return
        edits.append(edit)
    if None in edits or not any(_is_start(view, use, name) for use in ast.walk(run)):
        return
    said = f"`{loop}` is in a thread since the constructor, and two on one socket end the process: one goes"
    yield Candidate(NAME, made.lineno, tuple(sorted(edit for edit in edits if edit)), said)


def _is_start(view: View, node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) == f"{name}.start"


def _only_begins(statement: ast.stmt, name: str) -> bool:
    """Return whether a statement is `name.start()` or `name.daemon = …`."""
    if isinstance(statement, ast.Assign):
        return len(statement.targets) == 1 and dotted(statement.targets[0]) == f"{name}.daemon"
    call = _call(statement)
    return call is not None and dotted(call.func) == f"{name}.start"


def _statement(view: View, node: ast.AST) -> ast.stmt:
    while not isinstance(node, ast.stmt):
        node = view.parents[node]
    return node


def _line(view: View, statement: ast.stmt) -> Edit | None:
    """Return the edit that takes a statement with its lines; None where it does not stand alone in them."""
    last = statement.end_lineno or statement.lineno
    start, stop = view.line_offset(statement.lineno), view.line_offset(last + 1)
    before = view.text[start : view.offset(statement.lineno, statement.col_offset)]
    behind = view.text[view.offset(last, statement.end_col_offset or 0) : stop]
    return Edit(start, stop, "") if not (before + behind).strip() else None


def _taken_out(view: View, use: ast.Name, statement: ast.stmt) -> Edit | None:
    """Return the edit that takes a name out of a list of several that is only kept."""
    items = view.parents[use]
    call = _call(statement)
    if not isinstance(items, ast.List) or call is None or items not in call.args or len(items.elts) < 2:
        return None
    if dotted(call.func).rpartition(".")[2] not in _KEEPS:
        return None
    at = items.elts.index(use)
    if at:
        return Edit(view.span(items.elts[at - 1])[1], view.span(use)[1], "")
    return Edit(view.span(use)[0], view.span(items.elts[1])[0], "")


_BEGIN = "self.loop = threading.Thread(target=self._loop)\n        self.loop.start()"


def _tree(run: str, begin: str = _BEGIN, loop: str = "self.socket.recv()", more: str = "") -> str:
    return (
        "import threading\n\nimport zmq\n\n\nclass Work:\n    def __init__(self):\n"
        "        self.running = True\n        self.threads = []\n"
        "        self.socket = zmq.Context().socket(zmq.REP)\n"
        f"        {begin}\n{more}\n    def _loop(self):\n        while self.running:\n            {loop}\n\n"
        f"    def _watch(self):\n        pass\n\n    def run(self):\n{run}"
    )


_WATCH = "        watch = threading.Thread(target=self._watch)\n        watch.start()\n"
_SECOND = "        loop = threading.Thread(target=self._loop, daemon=True)\n"
_WAIT = "        while self.running:\n            watch.join(1)\n"
_HELPER = f"\n    def _begin(self):\n        {_BEGIN}\n"
MUST = (
    Case(_tree(f"{_SECOND}        loop.start()\n{_WATCH}{_WAIT}"), _tree(f"{_WATCH}{_WAIT}")),
    Case(
        _tree(
            f"{_WATCH}{_SECOND}        loop.daemon = True\n        loop.start()\n"
            f"        self.threads.extend([watch, loop])\n{_WAIT}",
            "self._begin()",
            more=_HELPER,
        ),
        _tree(f"{_WATCH}        self.threads.extend([watch])\n{_WAIT}", "self._begin()", more=_HELPER),
    ),
)
_TWO = f"{_SECOND}        loop.start()\n{_WATCH}{_WAIT}"
MUST_NOT = (
    # Nothing that two threads may not share.
    Case(_tree(_TWO, loop="print(1)")),
    # The constructor may not have come to it, or has only made it.
    Case(_tree(_TWO, "if self.threads:\n            self._begin()", more=_HELPER)),
    Case(_tree(_TWO, "if self.threads:\n            return\n        self._begin()", more=_HELPER)),
    Case(_tree(_TWO, "self.loop = threading.Thread(target=self._loop)")),
    # The first has ended by then, or may have.
    Case(_tree(f"        self.running = True\n{_TWO}")),
    Case(_tree(f"        self.stop()\n{_TWO}")),
    # More hangs on the second.
    Case(_tree(f"{_TWO}        loop.join()\n")),
    Case(_tree(f"{_SECOND}        loop.start(); print()\n{_WATCH}{_WAIT}")),
    Case(_tree(f"{_SECOND}        loop.start()\n        self.threads.extend([loop])\n{_WATCH}{_WAIT}")),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
