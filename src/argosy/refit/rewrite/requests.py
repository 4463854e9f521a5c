"""Z306: a request socket for one call becomes a question on a connection that is kept.

`context.socket(zmq.REQ)` becomes `argosy.wire.pooled.question(context)`, an object that is used as the socket
was; all else stays, closing it included. It connects, asks, hears and times out as a REQ socket does and
has nothing more, so a site is migrated only when nothing more is asked of it.
"""

from __future__ import annotations

import ast
from typing import Final

import msgspec

from argosy.refit.requests import find_requests, why_kept
from argosy.refit.rewrite.adding import has_import, import_behind, is_argosy_taken
from argosy.refit.rewrite.change import Change, replaced
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import Refusal, Site, View
from argosy.refit.sockets import Making, Place, Use, find_sockets, use_sets

CODE: Final = "Z306"
QUESTION: Final = "argosy.wire.pooled.question"
IMPORT: Final = "import argosy.wire.pooled"

# What a question does as a REQ socket did, with how many arguments.
_ALIKE: Final = {
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
_OPTIONS: Final = ("RCVTIMEO", "SNDTIMEO", "LINGER")


class Requests(msgspec.Struct, frozen=True):
    """What becomes of the request sockets of one file."""

    changes: tuple[Change, ...]
    migrated: tuple[Site, ...]
    refused: tuple[Refusal, ...]


def may_hold(data: bytes) -> bool:
    """Return whether a file can have a request socket at all."""
    return b"REQ" in data and b"zmq" in data


def plan_requests(view: View, index: Index) -> Requests:
    """Return which request sockets become questions, and why the others do not."""
    taken: list[Making] = []
    refused: list[Refusal] = []
    for place in find_requests(view.file):
        reason = _reason(view, index, place)
        for making in place.makings:
            if reason:
                refused.append(view.refusal(making.call, CODE, reason))
            else:
                taken.append(making)
    changes = _changes(view, [making.call for making in taken])
    return Requests(changes, tuple(view.site(making.call, CODE) for making in taken), tuple(refused))


def _changes(view: View, calls: list[ast.Call]) -> tuple[Change, ...]:
    changes: list[Change] = [replaced(call, f"{QUESTION}({_written(view, call)})") for call in calls]
    if calls and not has_import(view, IMPORT):
        users: dict[ast.stmt, list[ast.expr]] = {}
        for call in calls:
            users.setdefault(_imports_of(view, call)[0], []).append(call)
        changes += [
            import_behind(view, anchor, nodes, IMPORT)
            for anchor, nodes in users.items()
            if not any(ast.unparse(each) == IMPORT for each in view.block(anchor))
        ]
    return tuple(changes)


def _written(view: View, call: ast.Call) -> str:
    """Return the source of the context that a socket is made from."""
    assert isinstance(call.func, ast.Attribute)
    return ast.get_source_segment(view.file.text, call.func.value) or ast.unparse(call.func.value)


def _imports_of(view: View, call: ast.Call) -> list[ast.stmt]:
    """Return the imports that bind what `zmq.REQ` names."""
    root: ast.expr = call.args[0]
    while isinstance(root, ast.Attribute):
        root = root.value
    return [statement for statement, _ in view.binding_imports(root)] if isinstance(root, ast.Name) else []


def _reason(view: View, index: Index, place: Place) -> str:
    """Return why a request socket stays; empty when it may go."""
    if reason := why_kept(view.file, place):
        return reason
    making = place.makings[0]
    return _making_reason(view, index, making) or _context_reason(view, making) or _use_reason(view, place)


def _making_reason(view: View, index: Index, making: Making) -> str:
    call = making.call
    if making.context is None or len(call.args) != 1 or call.keywords:
        return "it is made with more than its type"
    if view.resolve(call.args[0]) != "zmq.REQ" or not _imports_of(view, call):
        return "its type is not certainly pyzmq's REQ"
    if isinstance(view.function(call), ast.AsyncFunctionDef | ast.Lambda):
        return "it is a coroutine's, which must not wait"
    if any(isinstance(node, ast.JoinedStr) for node in view.ancestors(call)):
        return "it stands inside an f-string"
    if "\n" in _written(view, call):
        return "its context is written over several lines"
    if is_argosy_taken(view):
        return "the name `argosy` is bound to something else here"
    if where := index.patched(view.path, "zmq"):
        return f"`{where}` puts something else in the place of `zmq` in this module"
    if b"inproc:" in view.data:
        return "inproc addresses are private to a context"
    return ""


def _context_reason(view: View, making: Making) -> str:
    """Return what its context gives its sockets that a kept connection has not."""
    context = find_sockets(view.file).context_of(making)
    uses = context.uses if context is not None else []
    is_set = any(use.kind == "option" or use.method in ("setsockopt", "set", "sockopts") for use in uses)
    return "its context has options of its own" if is_set else ""


def _use_reason(view: View, place: Place) -> str:
    """Return the first thing that is done with the socket and that a question does not do."""
    for use in place.uses:
        if use.kind == "with" and use.call is None:
            continue  # `with` over the socket itself
        if not (_is_option(view, use) or _is_alike(view, use) or use.kind in ("store", "test")):
            return f"`{ast.unparse(view.statement(use.node)).splitlines()[0]:.60}` asks more of it"
    return ""


def _is_option(view: View, use: Use) -> bool:
    return use.kind == "option" and any(use_sets(use, name, view.file) for name in _OPTIONS)


def _is_alike(view: View, use: Use) -> bool:
    if use.kind != "call" or use.call is None or isinstance(view.parents[use.call], ast.Await):
        return False
    is_linger = use.method == "close" and [item.arg for item in use.call.keywords] == ["linger"]
    plain = not use.call.keywords and not any(isinstance(item, ast.Starred) for item in use.call.args)
    return is_linger or (plain and len(use.call.args) in _ALIKE.get(use.method, ()))
