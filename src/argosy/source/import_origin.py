"""Resolves a name to its import: from `sock_lib.Context` to `zmq.Context`."""

from __future__ import annotations

import ast

import msgspec

from argosy.source import control_flow
from argosy.source.name_scopes import NameScope


class ImportOrigin(msgspec.Struct, frozen=True):
    """The import that an expression refers to.

    name: the full dotted name, such as `zmq.Context`; with leading dots for a relative import.
    is_only_binding: the name has no other binding, so that it always means this if it is bound at all.
    """

    name: str
    is_only_binding: bool


def find_import_origin(node: ast.expr, scope: NameScope) -> ImportOrigin | None:
    """Return the import of a name or a dotted name in `scope`; None if no import binds it.

    Also returns None if imports of different things bind the name, because it is then ambiguous.
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
