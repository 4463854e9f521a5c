"""The imports of a module, what it adds to sys.path, and whether it may be run as a script."""

from __future__ import annotations

import re

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.imports import Import, find_imports
from argosy.source.syspath import Additions, find_additions

# How a file says that it may be run: two that begin with a literal each are found faster than one with both.
_RUN = re.compile(rb"""__name__\s*==\s*["']__main__"""), re.compile(rb"""__main__["']\s*==\s*__name__""")


class Imports(msgspec.Struct, frozen=True, array_like=True):
    """imports: in the order of the lines. additions: absolute folders. is_script: it may be run."""

    imports: tuple[Import, ...]
    additions: Additions
    is_script: bool


def imports_of(file: PythonFile) -> tuple[Import, ...]:
    """Return the imports of a file, for `file.derived`."""
    return find_imports(file.parsed, file.index)


def collect(file: PythonFile) -> Imports | None:
    found = file.derived(imports_of)
    if not found:
        return None
    data = file.source.data
    is_run = data.startswith(b"#!") or any(pattern.search(data) for pattern in _RUN)
    is_script = is_run or file.path.endswith("__main__.py")
    return Imports(found, find_additions(file.parsed), is_script)


IMPORTS = FactKind("imports", Imports, collect)
