"""What a file names of pyzmq, whatever it calls it: contexts, kinds of sockets, options.

A name counts when an import leads it to pyzmq. One that other statements bind as well (`zmq = None`
where the import fails), or that comes by `from zmq import *`, counts too, and is told as not sure.
"""

from __future__ import annotations

import ast

from argosy.refit.file import PythonFile
from argosy.source import flow
from argosy.source.scopes import Scope

SOCKET_TYPES = frozenset(
    ("PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "XREQ", "XREP", "PULL", "PUSH", "XPUB", "XSUB")
) | {"STREAM", "SERVER", "CLIENT", "RADIO", "DISH", "GATHER", "SCATTER", "DGRAM", "PEER", "CHANNEL"}
LEASE = "argosy.wire.context"


def may_name(data: bytes) -> bool:
    """Return whether a source can name anything of pyzmq."""
    return b"zmq" in data


def is_shared_context(file: PythonFile, node: ast.expr, scope: Scope) -> bool:
    """Return whether `node` is `zmq.Context.instance()`, the one that all of a process share."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "instance"
        and constant(file, node.func.value, scope).endswith("Context")
    )


def constant(file: PythonFile, node: ast.expr, scope: Scope) -> str:
    """Return what of pyzmq `node` names, without the package: `REQ`, `Context`; else empty."""
    found = named(file, node, scope)
    return found[0].rpartition(".")[2] if found else ""


def named(file: PythonFile, node: ast.expr, scope: Scope) -> tuple[str, bool] | None:
    """Return the name in full of what `node` takes from pyzmq, and whether imports alone say so."""
    origin = file.origin(node, scope)
    if origin is not None:
        return (origin.name, origin.is_sole) if origin.name.startswith("zmq.") else None
    written = flow.dotted(node)
    if not written:
        return None
    first, _, rest = written.partition(".")
    owner = scope.owner_of(first)
    if owner is None:
        is_star = file.scope.has_star and not rest and _has_star_import(file)
        return (f"zmq.{written}", False) if is_star else None
    origins = [binding.origin for binding in owner.bindings[first]]
    if rest and any(name == "zmq" or name.startswith("zmq.") for name in origins):
        return f"zmq.{rest}", False
    # Of one name that imports bind to different things, one of them pyzmq's.
    taken = next((name for name in origins if name.startswith("zmq.")), "")
    return (taken, False) if taken and not rest else None


def _has_star_import(file: PythonFile) -> bool:
    return any(
        node.module == "zmq" and any(alias.name == "*" for alias in node.names)
        for node, _ in file.nodes(ast.ImportFrom)
    )
