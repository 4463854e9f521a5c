"""The names that a module exports. The facts contain no line numbers, so that few edits change them."""

from __future__ import annotations

import msgspec

from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.file_facts import first_bindings, has_dynamic_names
from argosy.source.name_scopes import BindingKind


class ModuleExports(msgspec.Struct, frozen=True, array_like=True):
    """The names that a module binds, and how first. has_dynamic_names: more may be added at run time."""

    names: dict[str, BindingKind]
    has_dynamic_names: bool


def collect(file: PythonFile) -> ModuleExports:
    return ModuleExports(first_bindings(file.scope), has_dynamic_names(file.scope))


MODULE_EXPORTS = FactKind("module exports", ModuleExports, collect)
