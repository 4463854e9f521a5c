"""Names that a module reads before anything has bound them."""

from __future__ import annotations

import msgspec

from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.undefined_names import UndefinedName, find_undefined
from argosy.source.use_before_def import UseBeforeDefinition


class UnboundNames(msgspec.Struct, frozen=True, array_like=True):
    """Unbound names.

    uses_before_definition: while the module runs as a script. undefined: in functions.
    """

    uses_before_definition: tuple[UseBeforeDefinition, ...]
    undefined: tuple[UndefinedName, ...]


def collect(file: PythonFile) -> UnboundNames | None:
    undefined = find_undefined(file.parsed, file.scope)
    return (
        UnboundNames(file.uses_before_definition, undefined)
        if file.uses_before_definition or undefined
        else None
    )


UNBOUND_NAMES = FactKind("unbound names", UnboundNames, collect)
