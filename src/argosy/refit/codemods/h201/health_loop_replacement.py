"""H201: decides which health loops are removed, and why the others are refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from argosy.refit.analysis.health.health_loops import HealthLoop, find_health_loops, find_socket_type
from argosy.refit.analysis.socket_uses import SocketPlace, find_sockets
from argosy.refit.codemods.h201.external_references import external_reference_reason
from argosy.refit.codemods.h201.health_base import (
    HealthBase,
    constructor_reason,
    declared_port_reason,
    find_health_base,
    port_mismatch_reason,
    port_of,
)
from argosy.refit.codemods.h201.loop_removal import LoopRemoval, RemovalObstacle
from argosy.refit.codemods.h201.payload_keys import reserved_key_reason
from argosy.refit.codemods.h201.payload_purity import impurity_reason, loop_input_reason
from argosy.refit.codemods.h201.port_argument import pass_port_to_base
from argosy.refit.codemods.h201.responder_loop import not_responder_reason, payload_mismatch_reason
from argosy.refit.codemods.h201.unused_attributes import remove_unused_attributes
from argosy.refit.codemods.tree_index import TreeIndex
from argosy.refit.transaction.source_change import Change
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite, SourceView

OWN_HEALTH_LOOP: Final = "H201"
_QUICK_PATTERN: Final = re.compile(rb"recv|poll|PUB|PUSH")


class HealthLoopPlan(msgspec.Struct, frozen=True):
    """The changes, migrated sites and refused sites of one file."""

    changes: tuple[Change, ...]
    migrated: tuple[RewriteSite, ...]
    refused: tuple[RefusedSite, ...]


def may_match(data: bytes) -> bool:
    """Return whether a file can contain a health loop."""
    return (
        b"send" in data
        and (b"status" in data or b"health" in data)
        and _QUICK_PATTERN.search(data) is not None
    )


def plan_health_loop_replacement(view: SourceView, index: TreeIndex) -> HealthLoopPlan:
    """Return which health loops of a file are replaced by the base's endpoint, and why others are refused."""
    changes: list[Change] = []
    migrated: list[RewriteSite] = []
    refused: list[RefusedSite] = []
    for loop in find_health_loops(view.python_file):
        result = _plan_loop(view, index, loop)
        if isinstance(result, str):
            refused.append(view.refused_at(loop.definition, OWN_HEALTH_LOOP, result))
        else:
            changes += result
            migrated.append(view.site_at(loop.definition, OWN_HEALTH_LOOP))
    return HealthLoopPlan(tuple(dict.fromkeys(changes)), tuple(migrated), tuple(refused))


def _plan_loop(view: SourceView, index: TreeIndex, loop: HealthLoop) -> list[Change] | str:
    """Return the changes that remove one loop, or the first condition that does not hold."""
    if reason := not_responder_reason(view, loop) or loop_input_reason(view, loop):
        return _condition_reason(1, reason)
    scope = loop.function.parent
    owner = scope.node if scope is not None else None
    if not isinstance(owner, ast.ClassDef):
        return _condition_reason(7, "it is not a method, so no base class answers instead")
    namesakes = [node for node in view.nodes if isinstance(node, ast.ClassDef) and node.name == owner.name]
    if len(namesakes) > 1 or view.enclosing_function(owner) is not None:
        return _condition_reason(6, f"`{owner.name}` is defined more than once, or inside a function")
    if reason := impurity_reason(view, index, owner):
        return _condition_reason(2, reason)
    if reason := reserved_key_reason(view, owner):
        return _condition_reason(7, reason)
    health_base = find_health_base(view, index, owner)
    if isinstance(health_base, str):
        return _condition_reason(7, health_base)
    if reason := constructor_reason(owner):
        return _condition_reason(7, reason)
    if reason := payload_mismatch_reason(view, loop):
        return _condition_reason(3, reason)
    return _plan_removal(view, index, loop, owner, health_base)


def _condition_reason(condition: int, reason: str) -> str:
    """Return a reason with the number of the condition that does not hold: docs/reference/h201.md."""
    return f"condition {condition}: {reason}"


def _plan_removal(
    view: SourceView, index: TreeIndex, loop: HealthLoop, owner: ast.ClassDef, health_base: HealthBase
) -> list[Change] | str:
    place = _own_socket_place(view, loop)
    port_changes = _socket_changes(view, index, loop, owner, health_base, place)
    if isinstance(port_changes, str):
        return _condition_reason(4, port_changes)
    removal = LoopRemoval(view, index, owner, loop, loop.socket if place is not None else "", health_base)
    if reason := removal.thread_reason():
        return _condition_reason(5, reason)
    changes = removal.changes()
    if isinstance(changes, RemovalObstacle):
        return _condition_reason(changes.condition, changes.reason)
    if own := sorted(set(removal.methods) & health_base.other_methods):
        return _condition_reason(6, f"`{own[0]}` overrides its base's method, which would be called instead")
    if reason := external_reference_reason(
        view, index, owner, removal.removed_names() | removal.holding_attributes, health_base
    ):
        return _condition_reason(6, reason)
    return [*port_changes, *changes, *remove_unused_attributes(view, index, owner, removal)]


def _own_socket_place(view: SourceView, loop: HealthLoop) -> SocketPlace | None:
    """Return the place in which the class keeps the loop's socket, if the class creates it."""
    found = [
        place
        for place in find_sockets(view.python_file).sockets
        if place.name == loop.socket and place.owner is loop.function.parent
    ]
    return found[0] if found else None


def _socket_changes(
    view: SourceView,
    index: TreeIndex,
    loop: HealthLoop,
    owner: ast.ClassDef,
    health_base: HealthBase,
    place: SocketPlace | None,
) -> list[Change] | str:
    """Return the changes that pass the socket's port to the base where the base has another one.

    A string is the reason why the socket is not private to the loop, or why the base cannot answer on its
    port.
    """
    if not loop.socket.startswith("self."):
        return f"`{loop.socket}` is not an attribute of its class"
    if place is None:
        return _inherited_socket_reason(view, loop, owner, health_base) or []
    if find_socket_type(view.python_file, loop.function, loop.socket) != "REP":
        return f"`{loop.socket}` is not certainly a REP socket"
    ports = _ports(place)
    if isinstance(ports, str):
        return ports
    changes: list[Change] = []
    for port in ports:
        found = _port_changes(view, index, owner, health_base, port)
        if isinstance(found, str):
            return found
        changes += found
    return changes if ports else f"the bind of `{loop.socket}` is not visible"


def _port_changes(
    view: SourceView, index: TreeIndex, owner: ast.ClassDef, health_base: HealthBase, port: ast.expr
) -> list[Change] | str:
    """Return the change that passes a port to the base, empty if the base has it, or a refusal reason."""
    if reason := declared_port_reason(view, index, owner, port):
        return reason
    reason = port_mismatch_reason(view, owner, health_base, port)
    port_change = pass_port_to_base(view, owner, port) if reason and not health_base.path else None
    return [port_change] if port_change is not None else reason or []


def _ports(place: SocketPlace) -> Sequence[ast.expr] | str:
    """Return the ports that a socket is bound to, directly or by a method that takes socket and port."""
    ports: list[ast.expr] = []
    for use in place.uses:
        call = use.call
        if call is None or not call.args:
            continue
        if use.kind == "call" and use.method == "bind":
            port = port_of(call.args[0])
            if port is None:
                return f"the port of `{ast.unparse(call)}` is not visible"
            ports.append(port)
        elif use.kind == "argument" and "bind" in use.method and len(call.args) > 1:
            ports.append(call.args[1])
    return ports


def _inherited_socket_reason(
    view: SourceView, loop: HealthLoop, owner: ast.ClassDef, health_base: HealthBase
) -> str:
    """Return why a loop on a socket that its class does not create is not on its base's socket."""
    name = loop.socket.removeprefix("self.")
    if loop.socket != health_base.socket:
        return f"`{loop.socket}` is created neither in its class nor by its base"
    for node in ast.walk(owner):
        if not (isinstance(node, ast.Attribute) and node.attr == name) or _is_inside(
            view, node, loop.definition
        ):
            continue
        above = view.parents[node]
        is_closed = isinstance(above, ast.Attribute) and above.attr in ("close", "closed", "linger")
        is_tested = isinstance(above, ast.BoolOp | ast.UnaryOp | ast.If | ast.Compare)
        if not (isinstance(node.ctx, ast.Load) and (is_closed or is_tested)):
            return f"`{loop.socket}` has other uses"
    return ""


def _is_inside(view: SourceView, node: ast.AST, ancestor: ast.AST) -> bool:
    return any(each is ancestor for each in view.ancestors_of(node))
