"""Compiles what the measured processes import, so that no way pays for what the next one finds done.

Some installers (uv) leave no bytecode, and PYTHONDONTWRITEBYTECODE keeps it so for ever: then each
process compiles all that it imports, which doubles the processor time of a start.
"""

from __future__ import annotations

import compileall
import importlib.util
from collections.abc import Iterable
from pathlib import Path


def compile_packages(names: Iterable[str]) -> None:
    """Compile packages in their place, as pip does; what is not installed or not writable is passed over."""
    for name in names:
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            compile_folder(Path(folder))


def compile_folder(folder: Path) -> None:
    """Compile a tree in its place; what is compiled already costs only a look."""
    compileall.compile_dir(folder, quiet=2)
