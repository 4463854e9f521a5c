"""What stands in a file beside its contexts and speaks against every lease in it."""

from __future__ import annotations

import ast
from typing import Final, TypeGuard

from argosy.refit.contextclass import find_context_class
from argosy.refit.rewrite.adding import is_argosy_taken
from argosy.refit.rewrite.forking import FORKS, forks
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import View
from argosy.source import flow

# Words in a file that make a shared context another thing than an own one.
_REFUSED_FILES: Final = (
    (b"inproc:", "inproc addresses are private to an own context"),
    (b"validate_assignment", "what is assigned to its models is checked, and a lease is no zmq.Context"),
    (b"AFFINITY", "it chooses among the I/O threads of its context"),
)
# What waits on sockets within libzmq, or by their descriptors: it does not hear of a lease's end.
_DEAF: Final = frozenset({"FD", "device", "proxy", "proxy_steerable", "select", "zmq_poll"})


def file_reason(view: View, index: Index) -> str:
    """Return what in the whole file speaks against every lease in it."""
    for word, reason in _REFUSED_FILES:
        if word in view.data:
            return reason
    if index.has_own_zmq:
        return "the tree has a module `zmq` of its own"
    if is_argosy_taken(view):
        return "the name `argosy` is bound to something else here"
    return _import_reason(view) or _use_reason(view)


def _import_reason(view: View) -> str:
    for pairs in view.imports.values():
        for statement, target in pairs:
            modules = [alias.name for alias in statement.names] + [target]
            if isinstance(statement, ast.ImportFrom):
                modules.append(statement.module or "")
            if any(module.startswith("zmq.asyncio") for module in modules):
                return "it uses zmq.asyncio beside its context"
            if any(module.startswith("zmq.green") for module in modules):
                return "it uses gevent's zmq"
            if any(module.startswith(("zmq.devices", "zmq.eventloop")) for module in modules):
                return (
                    "it waits on sockets by zmq.devices or zmq.eventloop, which do not hear of a lease's end"
                )
    return FORKS if forks(view) else ""


def _use_reason(view: View) -> str:
    """Return what is done to the class or the module `zmq` that a lease would not take part in."""
    if reason := _class_reason(view):
        return reason
    deaf = {name for (name, _), pairs in view.imports.items() if any(_is_of_deaf(t) for _, t in pairs)}
    for node in view.nodes:
        if _is_deaf(view, node, deaf):
            return f"it waits on sockets by `{ast.unparse(node)}`, which does not hear of a lease's end"
        if isinstance(node, ast.Attribute) and node.attr == "context" and _ends_through_socket(view, node):
            return "it uses a context by way of a socket, and that one is the process's"
    return ""


def _class_reason(view: View) -> str:
    made = find_context_class(view.file)
    if made.exchanged:
        return "it puts something else in the place of zmq.Context"
    for out in made.handouts:
        if isinstance(view.parents[out.node], ast.ClassDef):
            return "it makes a class of its own from zmq.Context"
        if not out.is_factory:
            return (
                f"`{out.name}` {out.told} in line {out.node.lineno}, and who asks for it there finds no lease"
            )
    if any(not question.is_type for question in made.questions):
        return "it asks what is a zmq.Context, and a lease is none"
    return ""


def _is_of_deaf(target: str) -> bool:
    module, _, name = target.rpartition(".")
    return module.partition(".")[0] == "zmq" and name in _DEAF


def _is_deaf(view: View, node: ast.AST, names: set[str]) -> TypeGuard[ast.Attribute | ast.Name]:
    """Return whether a name means a way to wait on sockets that a lease's end does not reach."""
    if isinstance(node, ast.Attribute):
        if node.attr not in _DEAF:
            return False
        return _is_of_deaf(view.resolve(node)) or (
            node.attr == "FD" and flow.dotted(node.value) in _sockets(view)
        )
    return isinstance(node, ast.Name) and node.id in names and _is_of_deaf(view.resolve(node))


def _ends_through_socket(view: View, node: ast.Attribute) -> bool:
    """Return whether `node` is the `sock.context` of `sock.context.term()`, `sock` being a socket.

    What is opened through it is not its lease's, and is not closed with that.
    """
    around = view.parents[node]
    if not (isinstance(around, ast.Attribute) and around.attr != "closed"):
        return False
    return flow.dotted(node.value) in _sockets(view)


def _sockets(view: View) -> set[str]:
    """Return the names that sockets are assigned to."""
    found: set[str] = set()
    for node in view.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr == "socket":
                found.update(flow.dotted(target) for target in node.targets)
    return found - {""}
