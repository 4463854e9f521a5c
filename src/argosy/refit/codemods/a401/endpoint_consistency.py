"""Endpoints that a file names more than once: either all of the literals are replaced or none.

`disconnect` and `unbind` must name what `connect` and `bind` named, and a client in this file must use the
same endpoint that the file binds.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import Final

from argosy.refit.analysis.addresses.address_sites import AddressRole, AddressSite
from argosy.refit.analysis.ast_queries import last_name
from argosy.refit.transaction.source_change import Replacement
from argosy.refit.transaction.source_view import SourceView

_DISCONNECT: Final = "disconnect"

# A literal with its change, or with the reason why it stays.
AddressDecision = tuple[AddressSite, Replacement | str]


def agree_on_endpoints(view: SourceView, decisions: Sequence[AddressDecision]) -> list[AddressDecision]:
    """Return the decisions, with a reason for each literal whose endpoint is not replaced consistently."""
    current = list(decisions)
    has_unseen_end = _has_unseen_disconnect(view, {id(site.node) for site, _ in current})
    while True:
        reasons = {
            at: reason
            for at in range(len(current))
            if (reason := _inconsistency(current, at, has_unseen_end=has_unseen_end))
        }
        if not reasons:
            return current
        current = [(site, reasons.get(at, change)) for at, (site, change) in enumerate(current)]


def _inconsistency(decisions: Sequence[AddressDecision], at: int, *, has_unseen_end: bool) -> str:
    """Return why a literal must stay, given the decisions on the others; empty if it may be replaced."""
    site, change = decisions[at]
    if isinstance(change, str):
        return ""
    others = [
        (other, became)
        for n, (other, became) in enumerate(decisions)
        if n != at and _may_be_same_endpoint(site, other)
    ]
    for other, other_change in others:
        line = other.node.lineno
        is_ending = _DISCONNECT in (site.name, other.name)
        is_bound = other.role is AddressRole.BIND and other.port is not None and other.port == site.port
        if isinstance(other_change, str) and (is_ending or is_bound or has_unseen_end):
            return f"line {line} names the same endpoint and is not replaced"
        if (
            isinstance(other_change, Replacement)
            and is_ending
            and other_change.replacement != change.replacement
        ):
            return f"line {line} would name the same endpoint differently"
    if site.name == _DISCONNECT and not any(other.role is AddressRole.CONNECT for other, _ in others):
        return "nothing in this file connects to it by its literal"
    return ""


def _may_be_same_endpoint(site: AddressSite, other: AddressSite) -> bool:
    """Return whether two literals may be one endpoint; a port that is filled in later may be any port."""
    is_near = site.address.host.lower() == other.address.host.lower()
    return is_near and (site.port is None or other.port is None or site.port == other.port)


def _has_unseen_disconnect(view: SourceView, literals: Collection[int]) -> bool:
    """Return whether the file disconnects or unbinds something that is not a literal at the call."""
    calls = (call for call in view.nodes_of(ast.Call) if last_name(call.func) in (_DISCONNECT, "unbind"))
    named = (call.args[0] for call in calls if call.args)
    return any(not any(id(node) in literals for node in ast.walk(each)) for each in named)
