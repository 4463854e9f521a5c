"""The names that a module reads and that nothing has bound when it does."""

from __future__ import annotations

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.order import Early
from argosy.source.undefined import Undefined, find_undefined


class Unbound(msgspec.Struct, frozen=True, array_like=True):
    """early: read too early, or never bound, while the module loads as a script. undefined: in functions."""

    early: tuple[Early, ...]
    undefined: tuple[Undefined, ...]


def collect(file: PythonFile) -> Unbound | None:
    undefined = find_undefined(file.parsed, file.scope)
    return Unbound(file.early, undefined) if file.early or undefined else None


UNBOUND = FactKind("unbound", Unbound, collect)
