"""Whether a file forks: a context that was made before a fork is another one after it.

`multiprocessing` forks on Linux unless it is told otherwise, so a file that takes anything of it forks. Not
so what makes no process (`cpu_count`, `ThreadPool`, `shared_memory`), what begins a fresh interpreter
(`get_context("spawn")`), and what is named in an annotation alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.rewrite.view import View

FORKS: Final = "it forks: a context made before a fork is another one after it"

_CALLS: Final = frozenset({"os.fork", "os.forkpty", "pty.fork"})
_POOL: Final = "concurrent.futures.ProcessPoolExecutor"
_PACKAGE: Final = "multiprocessing"
_OTHERS: Final = frozenset({"billiard", "daemon"})
_WORDS: Final = (b"fork", b"multiprocessing", b"ProcessPoolExecutor", b"billiard", b"daemon")
# Of `multiprocessing`: what makes no process.
_CALM: Final = frozenset(
    {"active_children", "cpu_count", "current_process", "freeze_support", "parent_process"}
    | {"get_all_start_methods", "get_logger", "get_start_method", "log_to_stderr"}
    | {"AuthenticationError", "BufferTooShort", "ProcessError", "TimeoutError"}
    | {"connection", "dummy", "pool.ThreadPool", "resource_tracker", "shared_memory"}
)
# Of `multiprocessing`: what is judged by what is done with it.
_BY_USE: Final = frozenset({"", "get_context", "pool"})
_FRESH: Final = frozenset({"spawn", "forkserver"})


def forks(view: View) -> bool:
    """Return whether anything in a file may fork the process."""
    if not any(word in view.data for word in _WORDS):
        return False
    return any(_imports_one(view)) or any(_uses_one(view))


def _imports_one(view: View) -> Iterator[bool]:
    """Yield for each imported thing whether it forks by what it is, whatever is done with it."""
    for (name, _), pairs in view.imports.items():
        for _, target in pairs:
            if target.partition(".")[0] in _OTHERS or target == _POOL:
                yield True
            elif (what := _of_package(target)) is not None:
                yield not (_is_calm(what) or (what in _BY_USE and _means_one(view, name)))
    for star in view.indexed(ast.ImportFrom):
        is_star = any(alias.name == "*" for alias in star.names)
        yield is_star and (star.module or "").partition(".")[0] in (_PACKAGE, *_OTHERS)


def _of_package(target: str) -> str | None:
    """Return the name in `multiprocessing` that a dotted name means, empty for itself; None for another."""
    if target == _PACKAGE:
        return ""
    return target.removeprefix(f"{_PACKAGE}.") if target.startswith(f"{_PACKAGE}.") else None


def _means_one(view: View, name: str) -> bool:
    """Return whether one import alone gives `name` its meaning, so that each use of it can be told."""
    targets = {target for (bound, _), pairs in view.imports.items() if bound == name for _, target in pairs}
    bindings = [binding for scope in view.module.walk() for binding in scope.bindings.get(name, ())]
    return len(targets) == 1 and all(binding.how == "import" for binding in bindings)


def _uses_one(view: View) -> Iterator[bool]:
    """Yield for each use of what may fork whether it does."""
    for node in view.nodes:
        if not isinstance(node, ast.Name | ast.Attribute) or isinstance(view.parents[node], ast.Attribute):
            continue
        target = view.resolve(node)
        if target in _CALLS or target == _POOL:
            yield True
        elif (what := _of_package(target)) is not None:
            yield not (_is_calm(what) or _is_annotation(view, node) or _is_fresh(view, node, what))


def _is_calm(what: str) -> bool:
    return what in _CALM or any(what.startswith(f"{calm}.") for calm in _CALM)


def _is_fresh(view: View, node: ast.expr, what: str) -> bool:
    """Return whether `node` is the function in `get_context("spawn")`."""
    call = view.parents[node]
    if what != "get_context" or not isinstance(call, ast.Call) or call.func is not node:
        return False
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value in _FRESH


def _is_annotation(view: View, node: ast.AST) -> bool:
    inner = node
    for around in view.ancestors(node):
        if isinstance(around, ast.AnnAssign | ast.arg):
            return around.annotation is inner
        if isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
            return around.returns is inner
        if isinstance(around, ast.stmt):
            return False
        inner = around
    return False
