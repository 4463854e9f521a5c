"""Resolves what names of a file mean in pyzmq, however imported: contexts, types of sockets, options.

A name counts if an import resolves it to pyzmq. A name that other statements bind as well (`zmq = None` if
the import fails), or that comes from `from zmq import *`, counts too, and is marked as not sure.
"""

from __future__ import annotations

import ast

from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

SOCKET_TYPES = frozenset(
    ("PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "XREQ", "XREP", "PULL", "PUSH", "XPUB", "XSUB")
) | {"STREAM", "SERVER", "CLIENT", "RADIO", "DISH", "GATHER", "SCATTER", "DGRAM", "PEER", "CHANNEL"}
CONTEXT_FUNCTIONS = ("argosy.wire.context", "argosy.api.context")


def can_reference_pyzmq(data: bytes) -> bool:
    """Return whether a source can contain a name of pyzmq."""
    return b"zmq" in data


def is_shared_context(file: PythonFile, node: ast.expr, scope: NameScope) -> bool:
    """Return whether `node` is `zmq.Context.instance()`, the context that the process shares."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "instance"
        and resolve_constant(file, node.func.value, scope).endswith("Context")
    )


def resolve_constant(file: PythonFile, node: ast.expr, scope: NameScope) -> str:
    """Return the name in pyzmq of `node`, without the package: `REQ`, `Context`; else empty."""
    found = resolve_name(file, node, scope)
    return found[0].rpartition(".")[2] if found else ""


def resolve_name(file: PythonFile, node: ast.expr, scope: NameScope) -> tuple[str, bool] | None:
    """Return the full name of what `node` takes from pyzmq, and whether imports alone determine it."""
    origin = file.origin(node, scope)
    if origin is not None:
        return (origin.name, origin.is_only_binding) if origin.name.startswith("zmq.") else None
    written_name = dotted_name(node)
    if not written_name:
        return None
    first, _, rest = written_name.partition(".")
    owner = scope.owner_of(first)
    if owner is None:
        is_star_import = file.scope.has_star and not rest and _has_star_import(file)
        return (f"zmq.{written_name}", False) if is_star_import else None
    origins = [binding.origin for binding in owner.bindings[first]]
    if rest and any(name == "zmq" or name.startswith("zmq.") for name in origins):
        return f"zmq.{rest}", False
    # For a name that imports bind to different things, one of them pyzmq's.
    pyzmq_origin = next((name for name in origins if name.startswith("zmq.")), "")
    return (pyzmq_origin, False) if pyzmq_origin and not rest else None


def _has_star_import(file: PythonFile) -> bool:
    return any(
        node.module == "zmq" and any(alias.name == "*" for alias in node.names)
        for node, _ in file.nodes(ast.ImportFrom)
    )
