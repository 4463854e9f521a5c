"""Removes a thread of `run` for a loop on a ZeroMQ socket that the constructor already runs in a thread.

Both threads read the same socket at the same time, which libzmq does not allow: sooner or later an assertion
ends the process. The thread of `run` is removed; the constructor's has started by then. It must be certain
that the constructor starts it and that `run` does not restart it, and the name of the removed thread may have
no other use than its start.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Final

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.source.control_flow import dotted_name

_RECEIVE_METHODS: Final = frozenset(
    {"recv", "recv_json", "recv_string", "recv_multipart", "recv_pyobj", "poll"}
)
_LIST_METHODS: Final = frozenset({"append", "extend"})
Methods = Mapping[str, ast.FunctionDef]


def may_apply(view: ModuleView) -> bool:
    return "zmq" in view.text and view.text.count("Thread(") > 1 and "def run(self" in view.text


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for class_def in view.body:
        if not isinstance(class_def, ast.ClassDef):
            continue
        # The last method of a name is the effective one.
        methods = {node.name: node for node in class_def.body if isinstance(node, ast.FunctionDef)}
        if {"__init__", "run"} <= methods.keys():
            started, sockets = _started_in_init(methods), _socket_attributes(class_def)
            run = methods["run"]
            for statement, name, loop in _local_threads(run):
                if (
                    loop in started
                    and _reads_in_loop(methods[loop], sockets)
                    and not _may_restart(run, methods[loop])
                ):
                    yield from _removal(view, run, statement, name, loop)


def _started_in_init(methods: Methods) -> set[str]:
    """Return the methods that run in a thread whenever the constructor has returned."""
    statements = _unconditional_statements(methods["__init__"])
    for called in [dotted_name(call.func) for call in map(_statement_call, statements) if call is not None]:
        if called.startswith("self.") and called[5:] in methods:
            statements += _unconditional_statements(methods[called[5:]])
    calls = [dotted_name(call.func) for call in map(_statement_call, statements) if call is not None]
    found = set[str]()
    for step in statements:
        if isinstance(step, ast.Assign) and f"{dotted_name(step.targets[0])}.start" in calls:
            found.add(_thread_target(step.value))
    return found & methods.keys()


def _unconditional_statements(method: ast.FunctionDef) -> list[ast.stmt]:
    """Return the statements that have run when a method returns; none if it may return early."""
    is_early = any(isinstance(node, ast.Return) for node in ast.walk(method))
    return [] if is_early else list(method.body)


def _statement_call(step: ast.stmt) -> ast.Call | None:
    return step.value if isinstance(step, ast.Expr) and isinstance(step.value, ast.Call) else None


def _thread_target(value: ast.expr) -> str:
    """Return the method that `Thread(target=self.method)` runs, empty for anything else."""
    if not (isinstance(value, ast.Call) and dotted_name(value.func).rpartition(".")[2] == "Thread"):
        return ""
    target = next((dotted_name(each.value) for each in value.keywords if each.arg == "target"), "")
    return target[5:] if target.startswith("self.") else ""


def _socket_attributes(owner: ast.ClassDef) -> set[str]:
    """Return the attributes of self that hold ZeroMQ sockets."""
    return {
        dotted_name(target)
        for node in ast.walk(owner)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "socket"
        and any(dotted_name(kind).startswith("zmq.") for kind in node.value.args)
        for target in node.targets
        if dotted_name(target).startswith("self.")
    }


def _reads_in_loop(method: ast.FunctionDef, sockets: set[str]) -> bool:
    """Return whether a method reads one of the sockets in a loop."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _RECEIVE_METHODS
        and dotted_name(node.func.value) in sockets
        for loop in ast.walk(method)
        if isinstance(loop, ast.While)
        for node in ast.walk(loop)
    )


def _may_restart(run: ast.FunctionDef, loop: ast.FunctionDef) -> bool:
    """Return whether `run` may restart an ended loop: it sets its condition, or calls another method."""
    loop_conditions = {
        dotted_name(node)
        for each in ast.walk(loop)
        if isinstance(each, ast.While)
        for node in ast.walk(each.test)
        if isinstance(node, ast.Attribute)
    }
    first = min(call.lineno for call in ast.walk(run) if isinstance(call, ast.Call) and _thread_target(call))
    before = [node for node in ast.walk(run) if isinstance(node, ast.expr) and node.lineno < first]
    assigned = {
        dotted_name(node)
        for node in before
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    calls = [node for node in before if isinstance(node, ast.Call) and dotted_name(node.func).count(".") == 1]
    return bool(assigned & loop_conditions) or any(
        dotted_name(call.func).startswith("self.") for call in calls
    )


def _local_threads(run: ast.FunctionDef) -> Iterator[tuple[ast.Assign, str, str]]:
    """Yield assignments in `run` of a thread to a local name, with the name and the thread's method."""
    for node in ast.walk(run):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
            continue
        target, loop = node.targets[0], _thread_target(node.value)
        if isinstance(target, ast.Name) and loop:
            yield node, target.id, loop


def _removal(
    view: ModuleView, run: ast.FunctionDef, thread_assignment: ast.Assign, name: str, loop: str
) -> Iterator[RepairCandidate]:
    """Yield the removal of the thread, if it is only created, configured, started and kept in lists."""
    edits = [_remove_line(view, thread_assignment)]
    for use in ast.walk(run):
        if not (isinstance(use, ast.Name) and use.id == name and use is not thread_assignment.targets[0]):
            continue
        statement = _enclosing_statement(view, use)
        if isinstance(view.parents[use], ast.List) and isinstance(use.ctx, ast.Load):
            edit = _remove_from_list(view, use, statement)
        else:
            is_its = isinstance(view.parents[use], ast.Attribute) and _only_starts(statement, name)
            edit = _remove_line(view, statement) if is_its else None
        if edit is None:
            return
        edits.append(edit)
    if None in edits or not any(_is_start_call(view, use, name) for use in ast.walk(run)):
        return
    description = (
        f"`{loop}` already runs in a thread of the constructor, and two on one socket end the process: "
        "one is removed"
    )
    yield RepairCandidate(
        "duplicate-thread",
        thread_assignment.lineno,
        tuple(sorted(edit for edit in edits if edit)),
        description,
    )


def _is_start_call(view: ModuleView, node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and dotted_name(node.func) == f"{name}.start"


def _only_starts(statement: ast.stmt, name: str) -> bool:
    """Return whether a statement is `name.start()` or `name.daemon = …`."""
    if isinstance(statement, ast.Assign):
        return len(statement.targets) == 1 and dotted_name(statement.targets[0]) == f"{name}.daemon"
    call = _statement_call(statement)
    return call is not None and dotted_name(call.func) == f"{name}.start"


def _enclosing_statement(view: ModuleView, node: ast.AST) -> ast.stmt:
    while not isinstance(node, ast.stmt):
        node = view.parents[node]
    return node


def _remove_line(view: ModuleView, statement: ast.stmt) -> TextEdit | None:
    """Return the edit that removes a statement with its lines; None if it shares them with another."""
    last = statement.end_lineno or statement.lineno
    start, stop = view.line_offset(statement.lineno), view.line_offset(last + 1)
    before = view.text[start : view.offset(statement.lineno, statement.col_offset)]
    behind = view.text[view.offset(last, statement.end_col_offset or 0) : stop]
    return TextEdit(start, stop, "") if not (before + behind).strip() else None


def _remove_from_list(view: ModuleView, use: ast.Name, statement: ast.stmt) -> TextEdit | None:
    """Return the edit that removes a name from a list of several that is only kept."""
    items = view.parents[use]
    call = _statement_call(statement)
    if not isinstance(items, ast.List) or call is None or items not in call.args or len(items.elts) < 2:
        return None
    if dotted_name(call.func).rpartition(".")[2] not in _LIST_METHODS:
        return None
    at = items.elts.index(use)
    if at:
        return TextEdit(view.span(items.elts[at - 1])[1], view.span(use)[1], "")
    return TextEdit(view.span(use)[0], view.span(items.elts[1])[0], "")


_START_THREAD = "self.loop = threading.Thread(target=self._loop)\n        self.loop.start()"


def _sample(run: str, start: str = _START_THREAD, loop: str = "self.socket.recv()", more: str = "") -> str:
    return (
        "import threading\n\nimport zmq\n\n\nclass Work:\n    def __init__(self):\n"
        "        self.running = True\n        self.threads = []\n"
        "        self.socket = zmq.Context().socket(zmq.REP)\n"
        f"        {start}\n{more}\n    def _loop(self):\n        while self.running:\n            {loop}\n\n"
        f"    def _watch(self):\n        pass\n\n    def run(self):\n{run}"
    )


_OTHER_THREAD = "        watch = threading.Thread(target=self._watch)\n        watch.start()\n"
_SECOND_THREAD = "        loop = threading.Thread(target=self._loop, daemon=True)\n"
_WAIT = "        while self.running:\n            watch.join(1)\n"
_HELPER = f"\n    def _begin(self):\n        {_START_THREAD}\n"
MUST_CHANGE = (
    StartupCase(
        _sample(f"{_SECOND_THREAD}        loop.start()\n{_OTHER_THREAD}{_WAIT}"),
        _sample(f"{_OTHER_THREAD}{_WAIT}"),
    ),
    StartupCase(
        _sample(
            f"{_OTHER_THREAD}{_SECOND_THREAD}        loop.daemon = True\n        loop.start()\n"
            f"        self.threads.extend([watch, loop])\n{_WAIT}",
            "self._begin()",
            more=_HELPER,
        ),
        _sample(
            f"{_OTHER_THREAD}        self.threads.extend([watch])\n{_WAIT}", "self._begin()", more=_HELPER
        ),
    ),
)
_TWO_THREADS = f"{_SECOND_THREAD}        loop.start()\n{_OTHER_THREAD}{_WAIT}"
MUST_NOT_CHANGE = (
    # Nothing that two threads may not share.
    StartupCase(_sample(_TWO_THREADS, loop="print(1)")),
    # The constructor may not have reached it, or has only created it.
    StartupCase(_sample(_TWO_THREADS, "if self.threads:\n            self._begin()", more=_HELPER)),
    StartupCase(
        _sample(_TWO_THREADS, "if self.threads:\n            return\n        self._begin()", more=_HELPER)
    ),
    StartupCase(_sample(_TWO_THREADS, "self.loop = threading.Thread(target=self._loop)")),
    # The first has ended by then, or may have.
    StartupCase(_sample(f"        self.running = True\n{_TWO_THREADS}")),
    StartupCase(_sample(f"        self.stop()\n{_TWO_THREADS}")),
    # The second has other uses.
    StartupCase(_sample(f"{_TWO_THREADS}        loop.join()\n")),
    StartupCase(_sample(f"{_SECOND_THREAD}        loop.start(); print()\n{_OTHER_THREAD}{_WAIT}")),
    StartupCase(
        _sample(
            f"{_SECOND_THREAD}        loop.start()\n        self.threads.extend([loop])\n"
            f"{_OTHER_THREAD}{_WAIT}"
        )
    ),
)

DUPLICATE_THREAD = RepairRule("duplicate-thread", propose, may_apply, MUST_CHANGE, MUST_NOT_CHANGE)
