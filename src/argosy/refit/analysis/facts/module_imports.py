"""The imports of a module, what it adds to sys.path, and whether it may be run as a script."""

from __future__ import annotations

import re

import msgspec

from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.import_statements import Import, find_imports
from argosy.source.sys_path import PathAdditions, find_path_additions

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


def collect(file: PythonFile) -> ModuleImports | None:
    found = file.compute_once(find_file_imports)
    if not found:
        return None
    data = file.source.data
    has_main_marker = data.startswith(b"#!") or any(pattern.search(data) for pattern in _MAIN_PATTERNS)
    is_script = has_main_marker or file.path.endswith("__main__.py")
    return ModuleImports(found, find_path_additions(file.parsed), is_script)


MODULE_IMPORTS = FactKind("module imports", ModuleImports, collect)
