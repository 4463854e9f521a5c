"""What a module shows to those that import it. Says nothing of lines, so that few edits change it."""

from __future__ import annotations

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.facts import first_bindings, may_bind_more
from argosy.source.scopes import How


class Surface(msgspec.Struct, frozen=True, array_like=True):
    """The names that a module binds, and how first. is_open: more may come at run time."""

    names: dict[str, How]
    is_open: bool


def collect(file: PythonFile) -> Surface:
    return Surface(first_bindings(file.scope), may_bind_more(file.scope))


SURFACE = FactKind("surface", Surface, collect)
