"""Refusals that concern a whole file: whatever in it rules out a lease, such as a fork.

`multiprocessing` forks on Linux by default, so a file that uses it forks. Exceptions are functions that start
no process (`cpu_count`, `ThreadPool`, `shared_memory`), those that start a fresh interpreter
(`get_context("spawn")`), and names in annotations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, TypeGuard

from argosy.refit.analysis.ast_queries import call_arguments
from argosy.refit.analysis.context_class import find_context_class_uses
from argosy.refit.rewrite.import_insertion import is_argosy_shadowed
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name

# File contents for which a shared context is not equivalent to an own one.
_REFUSED_CONTENT: Final = (
    (b"inproc:", "inproc addresses are private to a context"),
    (b"validate_assignment", "its models validate what is assigned, and a lease is not a zmq.Context"),
    (b"AFFINITY", "it chooses among the I/O threads of its context"),
)
# These wait on sockets inside libzmq, or by their file descriptors: the end of a lease does not wake them.
_NATIVE_WAITS: Final = frozenset({"FD", "device", "proxy", "proxy_steerable", "select", "zmq_poll"})


def file_refusal_reason(view: SourceView, index: TreeIndex) -> str:
    """Return what in a file rules out leases; empty if nothing."""
    for content, reason in _REFUSED_CONTENT:
        if content in view.data:
            return reason
    if index.has_own_zmq:
        return "the tree has a module `zmq` of its own"
    if is_argosy_shadowed(view):
        return "the name `argosy` is bound to something else here"
    return _import_reason(view) or _use_reason(view)


def _import_reason(view: SourceView) -> str:
    for pairs in view.imports_by_name.values():
        for statement, target in pairs:
            modules = [alias.name for alias in statement.names] + [target]
            if isinstance(statement, ast.ImportFrom):
                modules.append(statement.module or "")
            if any(module.startswith("zmq.asyncio") for module in modules):
                return "it also uses zmq.asyncio"
            if any(module.startswith("zmq.green") for module in modules):
                return "it uses gevent's zmq"
            if any(module.startswith(("zmq.devices", "zmq.eventloop")) for module in modules):
                return "it waits with zmq.devices or zmq.eventloop, which the end of a lease does not wake"
    return FORKS_REASON if may_fork(view) else ""


def _use_reason(view: SourceView) -> str:
    """Return a use of the class `Context` or the module `zmq` that a lease does not support."""
    if reason := _class_reason(view):
        return reason
    native_wait_names = {
        name
        for (name, _), pairs in view.imports_by_name.items()
        if any(_is_native_wait_target(t) for _, t in pairs)
    }
    for node in view.nodes:
        if _is_native_wait(view, node, native_wait_names):
            return f"it waits with `{ast.unparse(node)}`, which the end of a lease does not wake"
        if isinstance(node, ast.Attribute) and node.attr == "context" and _uses_context_of_socket(view, node):
            return "it gets a context from a socket, and that one is the process's"
    return ""


def _class_reason(view: SourceView) -> str:
    context_class = find_context_class_uses(view.python_file)
    if context_class.replacements:
        return "it replaces zmq.Context"
    for escaped in context_class.escapes:
        if isinstance(view.parents[escaped.node], ast.ClassDef):
            return "it defines a subclass of zmq.Context"
        if not escaped.is_factory:
            place = f"in line {escaped.node.lineno}, where a lease is not recognized"
            return f"`{escaped.name}` {escaped.description} {place}"
    if any(not each.is_type_position for each in context_class.use_sites):
        return "it tests for a zmq.Context, and a lease is not one"
    return ""


def _is_native_wait_target(target: str) -> bool:
    module, _, name = target.rpartition(".")
    return module.partition(".")[0] == "zmq" and name in _NATIVE_WAITS


def _is_native_wait(view: SourceView, node: ast.AST, names: set[str]) -> TypeGuard[ast.Attribute | ast.Name]:
    """Return whether a name means a way to wait on sockets that the end of a lease does not wake."""
    if isinstance(node, ast.Attribute):
        if node.attr not in _NATIVE_WAITS:
            return False
        return _is_native_wait_target(view.resolve_imported_name(node)) or (
            node.attr == "FD" and dotted_name(node.value) in _socket_names(view)
        )
    return (
        isinstance(node, ast.Name)
        and node.id in names
        and _is_native_wait_target(view.resolve_imported_name(node))
    )


def _uses_context_of_socket(view: SourceView, node: ast.Attribute) -> bool:
    """Return whether `node` is the `sock.context` of `sock.context.term()`, `sock` being a socket.

    Sockets opened through it do not belong to the lease, and are not closed with it.
    """
    parent = view.parents[node]
    if not (isinstance(parent, ast.Attribute) and parent.attr != "closed"):
        return False
    return dotted_name(node.value) in _socket_names(view)


def _socket_names(view: SourceView) -> set[str]:
    """Return the names that sockets are assigned to."""
    found: set[str] = set()
    for node in view.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr == "socket":
                found.update(dotted_name(target) for target in node.targets)
    return found - {""}


# -- forks -------------------------------------------------------------------------------------------


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
    arguments = call_arguments(call)
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
