"""Compiles the modules that the measured processes import, so that no side pays for compiling them.

Some installers (uv) write no bytecode, and PYTHONDONTWRITEBYTECODE prevents it later: then each
process compiles all its imports, which doubles the processor time of a start.
"""

from __future__ import annotations

import compileall
import importlib.util
from collections.abc import Iterable
from pathlib import Path


def compile_packages(names: Iterable[str]) -> None:
    """Compile packages in place, as pip does; packages that are missing or not writable are skipped."""
    for name in names:
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            compile_folder(Path(folder))


def compile_folder(folder: Path) -> None:
    """Compile a folder in place; files with current bytecode are only checked."""
    compileall.compile_dir(folder, quiet=2)
