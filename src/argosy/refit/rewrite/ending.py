"""Whether the end of a context is what ends a thread.

`term()` on an own context makes every operation on its sockets fail, in whatever thread, and waits until
those threads have closed them: many a server ends that way. A lease has nothing to tell them by, so its end
would leave the thread where it waits. Told is the shape: one function ends the context, and another, which a
thread runs that nobody waits for before, has sockets of it that it closes itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from argosy.refit.file import PythonFile
from argosy.refit.sockets import (
    RECEIVERS,
    SELF,
    SENDERS,
    Place,
    Sockets,
    Use,
    class_of,
    find_sockets,
    function_of,
)
from argosy.refit.threads import find_targets
from argosy.source import flow
from argosy.source.scopes import Scope

_WAITS: Final = RECEIVERS | SENDERS | {"poll"}


def find_ended(file: PythonFile, call: ast.Call) -> str:
    """Return the function that a thread runs until the context of `call` has ended; empty for none."""
    sockets = find_sockets(file)
    held = [place for place in sockets.contexts if any(making.call is call for making in place.makings)]
    ends = [use for place in held for use in place.calls("term")]
    opened = [place for place in sockets.sockets if _is_of(place, held, sockets)] if ends else []
    if not opened:
        return ""
    functions = _Functions(file)
    found = (functions.waiter(place, use) for use in ends for place in opened)
    return next(filter(None, found), "")


def _is_of(place: Place, contexts: list[Place], sockets: Sockets) -> bool:
    return any(sockets.context_of(making) in contexts for making in place.makings)


class _Functions:
    """The functions of a file: which of them threads begin with, and which call which."""

    def __init__(self, file: PythonFile) -> None:
        self._file = file
        self._all = [scope for scope in file.scope.walk() if _is_function(scope)]
        self._joins = [
            (call.lineno, function_of(scope)) for call, scope in file.nodes(ast.Call) if _joins(call)
        ]
        self._calls: dict[Scope, list[tuple[ast.expr, Scope]]] = {}
        for call, scope in file.nodes(ast.Call):
            if (function := function_of(scope)) is not None and _is_plain(call.func):
                self._calls.setdefault(function, []).append((call.func, scope))
        self._begun = list(self._find_begun())

    def waiter(self, place: Place, end: Use) -> str:
        """Return the function of a thread that has to be told of the end of a socket's context."""
        ender = function_of(end.scope)
        before = self._reach([ender] if ender is not None else [])
        if any(line < end.line if where is ender else where in before for line, where in self._joins):
            return ""  # it waits for threads first
        threads = self._reach(function for function, by in self._begun if not self._waits_for(by, ender))
        if ender in threads or any(function_of(use.scope) in before for use in _closings(place)):
            return ""
        waiting = [function_of(use.scope) for use in place.uses if _is_wait(use)]
        name = next((f.qualified_name() for f in waiting if f is not None and f in threads), "")
        is_local = function_of(place.owner) in threads and not any(use.kind == "hold" for use in place.uses)
        is_closed = is_local or any(function_of(use.scope) in threads for use in _closings(place))
        return name if is_closed else ""

    def _waits_for(self, starter: Scope | None, ender: Scope | None) -> bool:
        """Return whether the function that starts a thread returns only once it has ended."""
        return starter is not ender and any(where is starter for _, where in self._joins)

    def _find_begun(self) -> Iterator[tuple[Scope, Scope | None]]:
        """Yield the functions that threads begin with, each with the function that starts the thread."""
        for call, scope in self._file.nodes(ast.Call):
            for target in find_targets(self._file, call, scope):
                for node in ast.walk(target):
                    if isinstance(node, ast.Name | ast.Attribute):
                        yield from ((function, function_of(scope)) for function in self._named(node, scope))
        for cls, _ in self._file.nodes(ast.ClassDef):
            if any(flow.dotted(base).rpartition(".")[2] == "Thread" for base in cls.bases):
                runs = (f for f in self._all if f.name == "run" and f.parent and f.parent.node is cls)
                yield from ((function, None) for function in runs)

    def _named(self, node: ast.expr, scope: Scope) -> Iterator[Scope]:
        """Yield the functions that a name or an attribute may mean."""
        is_name = isinstance(node, ast.Name)
        name = flow.dotted(node).rpartition(".")[2]
        is_own = not is_name and _is_plain(node)
        for function in self._all:
            around = function.parent
            is_method = around is not None and around.kind == "class"
            is_it = function.name == name and is_method is not is_name
            if is_it and (not is_own or around is class_of(scope)):
                yield function

    def _reach(self, starts: Iterable[Scope]) -> set[Scope]:
        """Return these functions and those that they call, themselves or on `self`."""
        found: set[Scope] = set()
        todo = list(starts)
        while todo:
            function = todo.pop()
            if function not in found:
                found.add(function)
                for func, scope in self._calls.get(function, ()):
                    todo += self._named(func, scope)
        return found


def _is_function(scope: Scope) -> bool:
    return isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef) and scope.kind == "function"


def _is_plain(func: ast.expr) -> bool:
    """Return whether `func` is a name, or an attribute of `self`."""
    owner = func.value if isinstance(func, ast.Attribute) else func
    return isinstance(owner, ast.Name) and (owner is func or owner.id in SELF)


def _is_wait(use: Use) -> bool:
    return use.kind in ("poll", "pass") or (use.kind == "call" and use.method in _WAITS)


def _closings(place: Place) -> Iterator[Use]:
    for use in place.uses:
        if use.kind == "with" or (use.kind == "call" and use.method == "close"):
            yield use


def _joins(call: ast.Call) -> bool:
    """Return whether a call waits for a thread: `join()`, `join(2)`, `join(timeout=2)`; no text's `join`."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "join"):
        return False
    is_number = all(isinstance(a, ast.Constant) and isinstance(a.value, int | float) for a in call.args)
    return is_number and all(keyword.arg == "timeout" for keyword in call.keywords)
