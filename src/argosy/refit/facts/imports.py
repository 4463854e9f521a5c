"""The imports of a module, and the folders that it adds to sys.path."""

from __future__ import annotations

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.imports import Import
from argosy.source.syspath import Additions


class Imports(msgspec.Struct, frozen=True, array_like=True):
    """imports: in the order of the lines. additions: absolute folders."""

    imports: tuple[Import, ...]
    additions: Additions


def collect(file: PythonFile) -> Imports | None:
    found = file.facts.imports
    return Imports(found, file.facts.additions) if found else None


IMPORTS = FactKind("imports", Imports, collect)
