"""Endpoints that a file names more than once: all of its literals go, or none of them.

`disconnect` and `unbind` have to name what `connect` and `bind` named, and who connects to what the same
file binds has to find it there.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import Final

from argosy.refit.addresses.shapes import last_name
from argosy.refit.addresses.sites import Role, Site
from argosy.refit.rewrite.change import Replaced
from argosy.refit.rewrite.view import View

_ENDING: Final = "disconnect"

# A literal with its change, or with the reason why it stays.
Decided = tuple[Site, Replaced | str]


def agreed(view: View, decided: Sequence[Decided]) -> list[Decided]:
    """Return the same with a reason for each literal that would not go with others of its endpoint."""
    made = list(decided)
    is_open = _ends_unseen(view, {id(site.node) for site, _ in made})
    while True:
        told = {at: why for at in range(len(made)) if (why := _apart(made, at, is_open=is_open))}
        if not told:
            return made
        made = [(site, told.get(at, change)) for at, (site, change) in enumerate(made)]


def _apart(made: Sequence[Decided], at: int, *, is_open: bool) -> str:
    """Return why a literal has to stay, for what becomes of the others; empty where it may go."""
    site, change = made[at]
    if isinstance(change, str):
        return ""
    others = [(other, became) for n, (other, became) in enumerate(made) if n != at and _is_same(site, other)]
    for other, became in others:
        line = other.node.lineno
        is_ending = _ENDING in (site.name, other.name)
        is_bound = other.role is Role.BIND and other.port is not None and other.port == site.port
        if isinstance(became, str) and (is_ending or is_bound or is_open):
            return f"line {line} names the same endpoint and stays as it is"
        if isinstance(became, Replaced) and is_ending and became.new != change.new:
            return f"line {line} would name the same endpoint in another way"
    if site.name == _ENDING and not any(other.role is Role.CONNECT for other, _ in others):
        return "nothing in this file connects to it by its literal"
    return ""


def _is_same(site: Site, other: Site) -> bool:
    """Return whether two literals may be one endpoint: a port that is filled in later may be any."""
    is_near = site.address.host.lower() == other.address.host.lower()
    return is_near and (site.port is None or other.port is None or site.port == other.port)


def _ends_unseen(view: View, literals: Collection[int]) -> bool:
    """Return whether something is disconnected or unbound that no literal at the call names."""
    calls = (call for call in view.indexed(ast.Call) if last_name(call.func) in (_ENDING, "unbind"))
    named = (call.args[0] for call in calls if call.args)
    return any(not any(id(node) in literals for node in ast.walk(each)) for each in named)
