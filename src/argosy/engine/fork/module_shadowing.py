"""Detects agents with a local module that has the name of a module loaded in the zygote.

`python script.py` would import the file beside the script; a forked child would get the loaded
module instead. Such an agent is not forked.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from argosy.engine.fork.python_program import parse_command

if TYPE_CHECKING:
    from argosy.engine.protocol.fork_protocol import SpawnRequest

# Loaded by every interpreter before it searches the program's directory, which cannot shadow them.
_BEFORE_ANY_PROGRAM = frozenset(sys.builtin_module_names) | {
    *("_collections_abc", "_sitebuiltins", "abc", "codecs", "encodings", "genericpath", "io", "os"),
    *("posixpath", "site", "stat", "__main__"),
}


class ModuleShadowing:
    """Compares local modules of programs with the loaded ones.

    local_modules: `code_id` of a program to the top modules among its own files, wherever they are.
    Results are cached until a module is loaded or a directory changes.
    """

    def __init__(self) -> None:
        self.local_modules: dict[str, list[str]] = {}
        self._module_count = 0
        self._loaded_modules: dict[str, str] = {}
        self._conflicts: dict[str, str] = {}
        self._directories: dict[str, tuple[int, str]] = {}

    def shadowing_reason(self, spawn_request: SpawnRequest) -> str:
        """Return why the agent must not see the loaded modules, or an empty string."""
        program = parse_command(spawn_request.argv)
        if program is None:
            return "it is not a program of this interpreter"
        self._refresh()
        clash = self._conflicts.get(program.code_id)
        if clash:
            return f"its own module `{clash}` has the name of one that is loaded"
        extra = [entry for entry in spawn_request.env.get("PYTHONPATH", "").split(os.pathsep) if entry]
        for directory in (program.sys_path_dir(spawn_request.cwd), *extra):
            reason = self._conflict_in(directory)
            if reason:
                return reason
        return ""

    def _refresh(self) -> None:
        if len(sys.modules) != self._module_count:
            self._module_count = len(sys.modules)
            self._loaded_modules = _loaded_top_modules()
            self._directories.clear()
            is_loaded = self._loaded_modules.__contains__
            clashes = {code: next(filter(is_loaded, own), "") for code, own in self.local_modules.items()}
            self._conflicts = {code: name for code, name in clashes.items() if name}

    def _conflict_in(self, directory: str) -> str:
        """Return which file of a directory shadows a loaded module, or an empty string."""
        try:
            changed = os.stat(directory).st_mtime_ns
            known = self._directories.get(directory)
            if known is None or known[0] != changed:
                known = self._directories[directory] = (changed, self._find_conflict(directory))
        except OSError:
            return ""
        return known[1]

    def _find_conflict(self, directory: str) -> str:
        for name, file in _list_modules(directory).items():
            if name in self._loaded_modules and not self._loaded_modules[name].startswith(f"{directory}/"):
                return f"`{file}` shadows the loaded module `{name}`"
        return ""


def _loaded_top_modules() -> dict[str, str]:
    """Return the loaded top modules with their files, except those that no program can shadow."""
    return {
        name: getattr(module, "__file__", None) or ""
        for name, module in sys.modules.items()
        if "." not in name and name not in _BEFORE_ANY_PROGRAM
    }


def _list_modules(directory: str) -> dict[str, str]:
    found = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            name, _, suffix = entry.name.partition(".")
            if suffix.endswith(("py", "pyc", "so")) or os.path.exists(f"{entry.path}/__init__.py"):
                found[name] = entry.path
    return found
