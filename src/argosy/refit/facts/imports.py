"""The imports of a module, and the folders that it adds to sys.path."""

from __future__ import annotations

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.imports import Import, find_imports
from argosy.source.syspath import Additions, find_additions


class Imports(msgspec.Struct, frozen=True, array_like=True):
    """imports: in the order of the lines. additions: absolute folders."""

    imports: tuple[Import, ...]
    additions: Additions


def imports_of(file: PythonFile) -> tuple[Import, ...]:
    """Return the imports of a file, for `file.derived`."""
    return find_imports(file.parsed, file.index)


def collect(file: PythonFile) -> Imports | None:
    found = file.derived(imports_of)
    return Imports(found, find_additions(file.parsed)) if found else None


IMPORTS = FactKind("imports", Imports, collect)
