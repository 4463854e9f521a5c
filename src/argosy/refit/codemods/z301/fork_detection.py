"""Detects whether a file forks: a context created before a fork is not usable after it.

`multiprocessing` forks on Linux by default, so a file that uses it forks. Exceptions are functions that start
no process (`cpu_count`, `ThreadPool`, `shared_memory`), those that start a fresh interpreter
(`get_context("spawn")`), and names in annotations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.transaction.source_view import SourceView

FORKS_REASON: Final = "it forks: a context created before a fork is another one after it"

_FORK_CALLS: Final = frozenset({"os.fork", "os.forkpty", "pty.fork"})
_PROCESS_POOL: Final = "concurrent.futures.ProcessPoolExecutor"
_MULTIPROCESSING: Final = "multiprocessing"
_OTHER_PACKAGES: Final = frozenset({"billiard", "daemon"})
_QUICK_MARKERS: Final = (b"fork", b"multiprocessing", b"ProcessPoolExecutor", b"billiard", b"daemon")
# Parts of `multiprocessing` that start no process.
_NON_FORKING: Final = frozenset(
    {"active_children", "cpu_count", "current_process", "freeze_support", "parent_process"}
    | {"get_all_start_methods", "get_logger", "get_start_method", "log_to_stderr"}
    | {"AuthenticationError", "BufferTooShort", "ProcessError", "TimeoutError"}
    | {"connection", "dummy", "pool.ThreadPool", "resource_tracker", "shared_memory"}
)
# Parts of `multiprocessing` that depend on how they are used.
_DEPENDS_ON_USE: Final = frozenset({"", "get_context", "pool"})
_NON_FORK_METHODS: Final = frozenset({"spawn", "forkserver"})


def may_fork(view: SourceView) -> bool:
    """Return whether anything in a file may fork the process."""
    if not any(word in view.data for word in _QUICK_MARKERS):
        return False
    return any(_import_forks(view)) or any(_use_forks(view))


def _import_forks(view: SourceView) -> Iterator[bool]:
    """Yield for each imported name whether it forks, regardless of its use."""
    for (name, _), pairs in view.imports_by_name.items():
        for _, target in pairs:
            if target.partition(".")[0] in _OTHER_PACKAGES or target == _PROCESS_POOL:
                yield True
            elif (what := _multiprocessing_name(target)) is not None:
                yield not (
                    _is_non_forking(what) or (what in _DEPENDS_ON_USE and _is_single_import(view, name))
                )
    for star in view.nodes_of(ast.ImportFrom):
        is_star = any(alias.name == "*" for alias in star.names)
        yield is_star and (star.module or "").partition(".")[0] in (_MULTIPROCESSING, *_OTHER_PACKAGES)


def _multiprocessing_name(target: str) -> str | None:
    """Return the name in `multiprocessing` that `target` means; empty for the module, None for another."""
    if target == _MULTIPROCESSING:
        return ""
    return target.removeprefix(f"{_MULTIPROCESSING}.") if target.startswith(f"{_MULTIPROCESSING}.") else None


def _is_single_import(view: SourceView, name: str) -> bool:
    """Return whether `name` is bound by one import only, so that all its uses can be judged."""
    targets = {
        target for (bound, _), pairs in view.imports_by_name.items() if bound == name for _, target in pairs
    }
    bindings = [binding for scope in view.module_scope.walk() for binding in scope.bindings.get(name, ())]
    return len(targets) == 1 and all(binding.kind == "import" for binding in bindings)


def _use_forks(view: SourceView) -> Iterator[bool]:
    """Yield for each use of a name that may fork whether it does."""
    for node in view.nodes:
        if not isinstance(node, ast.Name | ast.Attribute) or isinstance(view.parents[node], ast.Attribute):
            continue
        target = view.resolve_imported_name(node)
        if target in _FORK_CALLS or target == _PROCESS_POOL:
            yield True
        elif (what := _multiprocessing_name(target)) is not None:
            yield not (
                _is_non_forking(what)
                or _is_annotation(view, node)
                or _selects_non_fork_method(view, node, what)
            )


def _is_non_forking(name: str) -> bool:
    return name in _NON_FORKING or any(name.startswith(f"{prefix}.") for prefix in _NON_FORKING)


def _selects_non_fork_method(view: SourceView, node: ast.expr, name: str) -> bool:
    """Return whether `node` is the function in `get_context("spawn")`."""
    call = view.parents[node]
    if name != "get_context" or not isinstance(call, ast.Call) or call.func is not node:
        return False
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    return (
        len(arguments) == 1
        and isinstance(arguments[0], ast.Constant)
        and arguments[0].value in _NON_FORK_METHODS
    )


def _is_annotation(view: SourceView, node: ast.AST) -> bool:
    child = node
    for ancestor in view.ancestors_of(node):
        if isinstance(ancestor, ast.AnnAssign | ast.arg):
            return ancestor.annotation is child
        if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef):
            return ancestor.returns is child
        if isinstance(ancestor, ast.stmt):
            return False
        child = ancestor
    return False
