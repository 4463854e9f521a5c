"""The functions of a file that run in threads of their own, and what each of them calls.

A group is a class with its methods, or the module with its functions. The threads of its callers count as
one, `main`: the public methods that no other of the group calls, and what these call. Each function that is
passed to a thread, a timer, an executor or a callback that runs in another thread is one more thread.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import msgspec

from argosy.refit.analysis.socket_uses import SELF_NAMES, enclosing_class, enclosing_function
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

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
