"""Refusals that concern a whole file: whatever in it rules out a lease."""

from __future__ import annotations

import ast
from typing import Final, TypeGuard

from argosy.refit.analysis.context_class import find_context_class_uses
from argosy.refit.codemods.import_insertion import is_argosy_shadowed
from argosy.refit.codemods.tree_index import TreeIndex
from argosy.refit.codemods.z301.fork_detection import FORKS_REASON, may_fork
from argosy.refit.transaction.source_view import SourceView
from argosy.source import control_flow

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
            node.attr == "FD" and control_flow.dotted_name(node.value) in _socket_names(view)
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
    return control_flow.dotted_name(node.value) in _socket_names(view)


def _socket_names(view: SourceView) -> set[str]:
    """Return the names that sockets are assigned to."""
    found: set[str] = set()
    for node in view.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr == "socket":
                found.update(control_flow.dotted_name(target) for target in node.targets)
    return found - {""}
