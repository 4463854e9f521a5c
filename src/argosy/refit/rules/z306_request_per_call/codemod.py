"""Z306: replaces a request socket for one call by one on a pooled connection.

`context.socket(zmq.REQ)` becomes `argosy.api.req_socket(context)`, an object that is used like the socket;
everything else stays, including the close. It connects, sends, receives and times out like a REQ socket and
supports nothing more, so a site is migrated only if the code uses nothing more.
"""

from __future__ import annotations

import ast
from typing import Final

from argosy.refit.analysis.socket_uses import (
    SocketCreation,
    SocketPlace,
    SocketUse,
    find_sockets,
    is_option_set_by,
)
from argosy.refit.rewrite.codemod import Codemod, CodemodPlan
from argosy.refit.rewrite.import_insertion import has_import, import_after, is_argosy_shadowed
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.z306_request_per_call import find_per_call_sockets, review_reason
from argosy.refit.transaction.source_change import Change, replace_node
from argosy.refit.transaction.source_view import RefusedSite, SourceView

REQUEST_SOCKET_PER_CALL: Final = "Z306"
POOLED_REQ: Final = "argosy.api.req_socket"
POOLED_IMPORT: Final = "import argosy.api"

# The calls that a pooled socket supports, with their numbers of arguments.
_SUPPORTED_CALLS: Final = {
    "connect": (1,),
    "send": (1,),
    "send_json": (1,),
    "send_string": (1,),
    "recv": (0,),
    "recv_json": (0,),
    "recv_string": (0,),
    "setsockopt": (2,),
    "set": (2,),
    "close": (0, 1),
}
_SUPPORTED_OPTIONS: Final = ("RCVTIMEO", "SNDTIMEO", "LINGER")


def may_match(data: bytes) -> bool:
    """Return whether a file can contain a request socket."""
    return b"REQ" in data and b"zmq" in data


def plan(view: SourceView, index: TreeIndex) -> CodemodPlan:
    """Return which request sockets become pooled ones, and why the others are refused."""
    migrated: list[SocketCreation] = []
    refused: list[RefusedSite] = []
    for socket_place in find_per_call_sockets(view.python_file):
        reason = _reason(view, index, socket_place)
        for creation in socket_place.creations:
            if reason:
                refused.append(view.refused_at(creation.call, REQUEST_SOCKET_PER_CALL, reason))
            else:
                migrated.append(creation)
    changes = _changes(view, [creation.call for creation in migrated])
    return CodemodPlan(
        changes,
        tuple(view.site_at(creation.call, REQUEST_SOCKET_PER_CALL) for creation in migrated),
        tuple(refused),
    )


def _changes(view: SourceView, calls: list[ast.Call]) -> tuple[Change, ...]:
    changes: list[Change] = [
        replace_node(call, f"{POOLED_REQ}({_context_source(view, call)})") for call in calls
    ]
    if calls and not has_import(view, POOLED_IMPORT):
        users: dict[ast.stmt, list[ast.expr]] = {}
        for call in calls:
            users.setdefault(_imports_of(view, call)[0], []).append(call)
        changes += [
            import_after(view, anchor, nodes, POOLED_IMPORT)
            for anchor, nodes in users.items()
            if not any(ast.unparse(each) == POOLED_IMPORT for each in view.containing_block(anchor))
        ]
    return tuple(changes)


def _context_source(view: SourceView, call: ast.Call) -> str:
    """Return the source of the expression for the context of a socket."""
    assert isinstance(call.func, ast.Attribute)
    return ast.get_source_segment(view.python_file.text, call.func.value) or ast.unparse(call.func.value)


def _imports_of(view: SourceView, call: ast.Call) -> list[ast.stmt]:
    """Return the imports that bind what `zmq.REQ` names."""
    root: ast.expr = call.args[0]
    while isinstance(root, ast.Attribute):
        root = root.value
    return [statement for statement, _ in view.imports_binding(root)] if isinstance(root, ast.Name) else []


def _reason(view: SourceView, index: TreeIndex, place: SocketPlace) -> str:
    """Return why a request socket is refused; empty if it can be migrated."""
    if reason := review_reason(view.python_file, place):
        return reason
    creation = place.creations[0]
    return (
        _creation_reason(view, index, creation) or _context_reason(view, creation) or _use_reason(view, place)
    )


def _creation_reason(view: SourceView, index: TreeIndex, creation: SocketCreation) -> str:
    call = creation.call
    if creation.context is None or len(call.args) != 1 or call.keywords:
        return "it is created with more than its type"
    if view.resolve_imported_name(call.args[0]) != "zmq.REQ" or not _imports_of(view, call):
        return "its type is not certainly pyzmq's REQ"
    if isinstance(view.enclosing_function(call), ast.AsyncFunctionDef | ast.Lambda):
        return "it is in a coroutine, which must not block"
    if any(isinstance(node, ast.JoinedStr) for node in view.ancestors_of(call)):
        return "it is inside an f-string"
    if "\n" in _context_source(view, call):
        return "the expression for its context spans several lines"
    if is_argosy_shadowed(view):
        return "the name `argosy` is bound to something else here"
    if where := index.patching_file(view.path, "zmq"):
        return f"`{where}` replaces `zmq` in this module"
    if b"inproc:" in view.data:
        return "inproc addresses are private to a context"
    return ""


def _context_reason(view: SourceView, creation: SocketCreation) -> str:
    """Return what options a context passes on to its sockets that a pooled connection lacks."""
    context = find_sockets(view.python_file).context_of(creation)
    uses = context.uses if context is not None else []
    is_set = any(use.kind == "option" or use.method in ("setsockopt", "set", "sockopts") for use in uses)
    return "its context has options of its own" if is_set else ""


def _use_reason(view: SourceView, place: SocketPlace) -> str:
    """Return the first use of a socket that a pooled one does not support."""
    for use in place.uses:
        if use.kind == "with" and use.call is None:
            continue  # `with` over the socket itself
        if not (
            _is_supported_option(view, use) or _is_supported_call(view, use) or use.kind in ("assign", "test")
        ):
            return f"`{ast.unparse(view.enclosing_statement(use.node)).splitlines()[0]:.60}` uses more of it"
    return ""


def _is_supported_option(view: SourceView, use: SocketUse) -> bool:
    return use.kind == "option" and any(
        is_option_set_by(use, name, view.python_file) for name in _SUPPORTED_OPTIONS
    )


def _is_supported_call(view: SourceView, use: SocketUse) -> bool:
    if use.kind != "call" or use.call is None or isinstance(view.parents[use.call], ast.Await):
        return False
    is_linger = use.method == "close" and [item.arg for item in use.call.keywords] == ["linger"]
    plain = not use.call.keywords and not any(isinstance(item, ast.Starred) for item in use.call.args)
    return is_linger or (plain and len(use.call.args) in _SUPPORTED_CALLS.get(use.method, ()))


CODEMOD: Final = Codemod(5, (REQUEST_SOCKET_PER_CALL,), may_match, plan)
