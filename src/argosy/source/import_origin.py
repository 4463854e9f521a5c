"""What a name was imported as: the way from `sock_lib.Context` back to `zmq.Context`."""

from __future__ import annotations

import ast

import msgspec

from argosy.source import control_flow
from argosy.source.name_scopes import NameScope


class ImportOrigin(msgspec.Struct, frozen=True):
    """Where an expression comes from.

    name: the dotted name in full, such as `zmq.Context`; with leading dots for a relative import.
    is_sole: nothing but that import binds the name, so that it means this whenever it is bound at all.
    """

    name: str
    is_only_binding: bool


def find_import_origin(node: ast.expr, scope: NameScope) -> ImportOrigin | None:
    """Return what a name or a dotted name in `scope` was imported as, None when no import binds it.

    Where imports of different things bind one name, nobody can tell: None too.
    """
    dotted = control_flow.dotted_name(node)
    if not dotted:
        return None
    first, _, rest = dotted.partition(".")
    owner = scope.owner_of(first)
    if owner is None:
        return None
    bindings = owner.bindings[first]
    origins = {binding.origin for binding in bindings if binding.origin}
    if len(origins) != 1:
        return None
    origin = origins.pop()
    return ImportOrigin(f"{origin}.{rest}" if rest else origin, all(binding.origin for binding in bindings))
