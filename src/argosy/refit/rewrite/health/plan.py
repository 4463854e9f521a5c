"""H201: which health loops go, and why the others stay."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from argosy.refit.health.loops import HealthLoop, find_health_loops, socket_type
from argosy.refit.rewrite.change import Change
from argosy.refit.rewrite.health.handing import hand_port
from argosy.refit.rewrite.health.keys import taken_reason
from argosy.refit.rewrite.health.orphans import orphaned
from argosy.refit.rewrite.health.privacy import privacy_reason
from argosy.refit.rewrite.health.purity import loop_reason, purity_reason
from argosy.refit.rewrite.health.removal import Leftover, Removal
from argosy.refit.rewrite.health.responder import answer_reason, responder_reason
from argosy.refit.rewrite.health.standard import (
    Standard,
    constructor_reason,
    declared_reason,
    find_standard,
    port_of,
    port_reason,
)
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import Refusal, Site, View
from argosy.refit.sockets import Place, find_sockets

CODE: Final = "H201"
_MAY: Final = re.compile(rb"recv|poll|PUB|PUSH")


class Loops(msgspec.Struct, frozen=True):
    """What becomes of the health loops of one file."""

    changes: tuple[Change, ...]
    migrated: tuple[Site, ...]
    refused: tuple[Refusal, ...]


def may_hold(data: bytes) -> bool:
    """Return whether a file can have a health loop at all."""
    return b"send" in data and (b"status" in data or b"health" in data) and _MAY.search(data) is not None


def plan_health(view: View, index: Index) -> Loops:
    """Return which health loops of a file give way to the standard, and why the others do not."""
    changes: list[Change] = []
    migrated: list[Site] = []
    refused: list[Refusal] = []
    for loop in find_health_loops(view.file):
        made = _loop(view, index, loop)
        if isinstance(made, str):
            refused.append(view.refusal(loop.place, CODE, made))
        else:
            changes += made
            migrated.append(view.site(loop.place, CODE))
    return Loops(tuple(dict.fromkeys(changes)), tuple(migrated), tuple(refused))


def _loop(view: View, index: Index, loop: HealthLoop) -> list[Change] | str:
    """Return the changes that take one loop away, or the first condition that does not hold."""
    if reason := responder_reason(view, loop) or loop_reason(view, loop):
        return _fails(1, reason)
    scope = loop.function.parent
    owner = scope.node if scope is not None else None
    if not isinstance(owner, ast.ClassDef):
        return _fails(7, "it is no method, and has no base that would answer")
    namesakes = [node for node in view.nodes if isinstance(node, ast.ClassDef) and node.name == owner.name]
    if len(namesakes) > 1 or view.function(owner) is not None:
        return _fails(6, f"`{owner.name}` is defined more than once, or inside a function")
    if reason := purity_reason(view, index, owner):
        return _fails(2, reason)
    if reason := taken_reason(view, owner):
        return _fails(7, reason)
    standard = find_standard(view, index, owner)
    if isinstance(standard, str):
        return _fails(7, standard)
    if reason := constructor_reason(owner):
        return _fails(7, reason)
    if reason := answer_reason(view, loop):
        return _fails(3, reason)
    return _removed(view, index, loop, owner, standard)


def _fails(condition: int, reason: str) -> str:
    """Return a reason with the number of the condition that does not hold, as docs/refit.md counts them."""
    return f"condition {condition}: {reason}"


def _removed(
    view: View, index: Index, loop: HealthLoop, owner: ast.ClassDef, standard: Standard
) -> list[Change] | str:
    place = _own_place(view, loop)
    handed = _socket_changes(view, index, loop, owner, standard, place)
    if isinstance(handed, str):
        return _fails(4, handed)
    removal = Removal(view, index, owner, loop, loop.socket if place is not None else "", standard)
    if reason := removal.thread_reason():
        return _fails(5, reason)
    changes = removal.changes()
    if isinstance(changes, Leftover):
        return _fails(changes.condition, changes.reason)
    if own := sorted(set(removal.methods) & standard.others):
        return _fails(6, f"`{own[0]}` is a method of its base, which would be called in its place")
    if reason := privacy_reason(view, index, owner, removal.names() | removal.keepers, standard):
        return _fails(6, reason)
    return [*handed, *changes, *orphaned(view, index, owner, removal)]


def _own_place(view: View, loop: HealthLoop) -> Place | None:
    """Return where the class keeps the loop's socket when it makes that itself."""
    found = [
        place
        for place in find_sockets(view.file).sockets
        if place.name == loop.socket and place.owner is loop.function.parent
    ]
    return found[0] if found else None


def _socket_changes(
    view: View, index: Index, loop: HealthLoop, owner: ast.ClassDef, standard: Standard, place: Place | None
) -> list[Change] | str:
    """Return what gives the base the socket's port where it has another one.

    A text is why the socket is not private to the loop, or cannot be on the standard's port.
    """
    if not loop.socket.startswith("self."):
        return f"`{loop.socket}` is no attribute of its class"
    if place is None:
        return _inherited_reason(view, loop, owner, standard) or []
    if socket_type(view.file, loop.function, loop.socket) != "REP":
        return f"`{loop.socket}` is not certainly a REP socket"
    ports = _ports(place)
    if isinstance(ports, str):
        return ports
    changes: list[Change] = []
    for port in ports:
        found = _port_changes(view, index, owner, standard, port)
        if isinstance(found, str):
            return found
        changes += found
    return changes if ports else f"`{loop.socket}` is bound where it cannot be seen"


def _port_changes(
    view: View, index: Index, owner: ast.ClassDef, standard: Standard, port: ast.expr
) -> list[Change] | str:
    """Return what makes a port the base's, nothing where it is, or why it cannot be."""
    if reason := declared_reason(view, index, owner, port):
        return reason
    reason = port_reason(view, owner, standard, port)
    handed = hand_port(view, owner, port) if reason and not standard.path else None
    return [handed] if handed is not None else reason or []


def _ports(place: Place) -> Sequence[ast.expr] | str:
    """Return the ports that a socket is bound to: in place, or by a method that is handed both."""
    ports: list[ast.expr] = []
    for use in place.uses:
        call = use.call
        if call is None or not call.args:
            continue
        if use.kind == "call" and use.method == "bind":
            port = port_of(call.args[0])
            if port is None:
                return f"the port of `{ast.unparse(call)}` cannot be seen"
            ports.append(port)
        elif use.kind == "pass" and "bind" in use.method and len(call.args) > 1:
            ports.append(call.args[1])
    return ports


def _inherited_reason(view: View, loop: HealthLoop, owner: ast.ClassDef, standard: Standard) -> str:
    """Return why a loop on a socket that its class does not make is not on its base's."""
    name = loop.socket.removeprefix("self.")
    if loop.socket != standard.socket:
        return f"`{loop.socket}` is made neither in its class nor by its base"
    for node in ast.walk(owner):
        if not (isinstance(node, ast.Attribute) and node.attr == name) or _is_within(view, node, loop.place):
            continue
        above = view.parents[node]
        is_closed = isinstance(above, ast.Attribute) and above.attr in ("close", "closed", "linger")
        is_asked = isinstance(above, ast.BoolOp | ast.UnaryOp | ast.If | ast.Compare)
        if not (isinstance(node.ctx, ast.Load) and (is_closed or is_asked)):
            return f"`{loop.socket}` is used in another way"
    return ""


def _is_within(view: View, node: ast.AST, around: ast.AST) -> bool:
    return any(each is around for each in view.ancestors(node))
