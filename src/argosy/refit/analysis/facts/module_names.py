"""The names of a module: its imports, what it binds, what it reads unbound, and the peers that it names."""

from __future__ import annotations

import re

import msgspec

from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.file_facts import first_bindings, has_dynamic_names
from argosy.source.import_statements import Import, find_imports
from argosy.source.name_scopes import BindingKind
from argosy.source.peer_reference_scan import PeerReferences, find_peer_references
from argosy.source.sys_path import PathAdditions, find_path_additions
from argosy.source.undefined_names import UndefinedName, find_undefined
from argosy.source.use_before_def import UseBeforeDefinition

# How a file shows that it may be run; two patterns with a literal start are faster than one for both.
_MAIN_PATTERNS = (
    re.compile(rb"""__name__\s*==\s*["']__main__"""),
    re.compile(rb"""__main__["']\s*==\s*__name__"""),
)


class ModuleImports(msgspec.Struct, frozen=True, array_like=True):
    """The imports of a file, in line order.

    path_additions: absolute directories. is_script: it may be run.
    """

    imports: tuple[Import, ...]
    path_additions: PathAdditions
    is_script: bool


def find_file_imports(file: PythonFile) -> tuple[Import, ...]:
    """Return the imports of a file, for `file.derived`."""
    return find_imports(file.parsed, file.index)


def collect_imports(file: PythonFile) -> ModuleImports | None:
    found = file.compute_once(find_file_imports)
    if not found:
        return None
    data = file.source.data
    has_main_marker = data.startswith(b"#!") or any(pattern.search(data) for pattern in _MAIN_PATTERNS)
    is_script = has_main_marker or file.path.endswith("__main__.py")
    return ModuleImports(found, find_path_additions(file.parsed), is_script)


MODULE_IMPORTS = FactKind("module imports", ModuleImports, collect_imports)


class ModuleExports(msgspec.Struct, frozen=True, array_like=True):
    """The names that a module binds, and how first. has_dynamic_names: more may be added at run time."""

    names: dict[str, BindingKind]
    has_dynamic_names: bool


def collect_exports(file: PythonFile) -> ModuleExports:
    return ModuleExports(first_bindings(file.scope), has_dynamic_names(file.scope))


MODULE_EXPORTS = FactKind("module exports", ModuleExports, collect_exports)


class UnboundNames(msgspec.Struct, frozen=True, array_like=True):
    """Unbound names.

    uses_before_definition: while the module runs as a script. undefined: in functions.
    """

    uses_before_definition: tuple[UseBeforeDefinition, ...]
    undefined: tuple[UndefinedName, ...]


def collect_unbound_names(file: PythonFile) -> UnboundNames | None:
    undefined = find_undefined(file.parsed, file.scope)
    return (
        UnboundNames(file.uses_before_definition, undefined)
        if file.uses_before_definition or undefined
        else None
    )


UNBOUND_NAMES = FactKind("unbound names", UnboundNames, collect_unbound_names)


def collect_peer_references(file: PythonFile) -> PeerReferences:
    return find_peer_references(file.parsed, file.index)


PEER_REFERENCES = FactKind("peer references", PeerReferences, collect_peer_references)
