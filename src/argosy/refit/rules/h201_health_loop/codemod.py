"""H201: decides which health loops are removed, and why the others are refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from argosy.refit.analysis.health.health_loops import HealthLoop, find_health_loops
from argosy.refit.analysis.socket_uses import SocketPlace, find_sockets
from argosy.refit.rewrite.codemod import Codemod, CodemodPlan
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.health_base import (
    constructor_reason,
    find_health_base,
    inherited_members,
)
from argosy.refit.rules.h201_health_loop.health_port import socket_changes
from argosy.refit.rules.h201_health_loop.loop_removal import LoopRemoval, RemovalObstacle
from argosy.refit.rules.h201_health_loop.payload_keys import reserved_key_reason
from argosy.refit.rules.h201_health_loop.payload_purity import impurity_reason, loop_input_reason
from argosy.refit.rules.h201_health_loop.references import external_reference_reason, remove_unused_attributes
from argosy.refit.rules.h201_health_loop.responder_loop import not_responder_reason, payload_mismatch_reason
from argosy.refit.transaction.source_change import Change
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite, SourceView

OWN_HEALTH_LOOP: Final = "H201"
_QUICK_PATTERN: Final = re.compile(rb"recv|poll|PUB|PUSH")


def may_match(data: bytes) -> bool:
    """Return whether a file can contain a health loop."""
    return (
        b"send" in data
        and (b"status" in data or b"health" in data)
        and _QUICK_PATTERN.search(data) is not None
    )


def plan(view: SourceView, index: TreeIndex) -> CodemodPlan:
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
    return CodemodPlan(tuple(dict.fromkeys(changes)), tuple(migrated), tuple(refused))


def _plan_loop(view: SourceView, index: TreeIndex, loop: HealthLoop) -> list[Change] | str:
    """Return the changes that remove one loop, or the first condition that does not hold."""
    changes: list[Change] = []
    for condition, reason in _check_conditions(view, index, loop, changes):
        if reason:
            return f"condition {condition}: {reason}"
    return changes


def _check_conditions(
    view: SourceView, index: TreeIndex, loop: HealthLoop, changes: list[Change]
) -> Iterator[tuple[int, str]]:
    """Yield the conditions of docs/reference/h201.md by number, each with the reason why it does not hold.

    The caller stops at the first reason: later conditions rely on earlier ones. Past the last one, `changes`
    has the changes.
    """
    yield 1, not_responder_reason(view, loop) or loop_input_reason(view, loop)
    owner = loop.function.parent.node if loop.function.parent is not None else None
    if not isinstance(owner, ast.ClassDef):
        yield 7, "it is not a method, so no base class answers instead"
        return
    is_only = [node.name for node in view.nodes_of(ast.ClassDef)].count(owner.name) == 1
    is_plain = is_only and view.enclosing_function(owner) is None
    yield 6, "" if is_plain else f"`{owner.name}` is defined more than once, or inside a function"
    yield 2, impurity_reason(view, index, owner)
    yield 7, reserved_key_reason(view, owner)
    health_base = find_health_base(view, index, owner)
    if isinstance(health_base, str):
        yield 7, health_base
        return
    yield 7, constructor_reason(owner)
    yield 3, payload_mismatch_reason(view, loop)
    place = _own_socket_place(view, loop)
    port_changes = socket_changes(view, index, loop, owner, health_base, place)
    if isinstance(port_changes, str):
        yield 4, port_changes
        return
    removal = LoopRemoval(view, index, owner, loop, loop.socket if place is not None else "", health_base)
    yield 5, removal.thread_reason()
    removed = removal.changes()
    if isinstance(removed, RemovalObstacle):
        yield removed
        return
    own = sorted(set(removal.methods) & health_base.other_methods)
    yield 6, f"`{own[0]}` overrides its base's method, which would be called instead" if own else ""
    names = removal.removed_names() | removal.holding_attributes
    yield 6, external_reference_reason(view, index, owner, names, health_base)
    unused = remove_unused_attributes(view, index, owner, removal.removed_nodes())
    changes += [*port_changes, *removed, *unused]


def _own_socket_place(view: SourceView, loop: HealthLoop) -> SocketPlace | None:
    """Return the place in which the class keeps the loop's socket, if the class creates it."""
    found = [
        place
        for place in find_sockets(view.python_file).sockets
        if place.name == loop.socket and place.owner is loop.function.parent
    ]
    return found[0] if found else None


CODEMOD: Final = Codemod(4, (OWN_HEALTH_LOOP,), may_match, plan, inherited_members)
