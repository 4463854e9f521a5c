"""Whether an agent has a module of its own by the name of one that the zygote has loaded.

`python script.py` would take the file beside the script; a forked child would meet the loaded
module instead. Such an agent is not forked.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from argosy.engine.fork.python_program import parse_command

if TYPE_CHECKING:
    from argosy.engine.fork.fork_protocol import SpawnRequest

# Loaded by every interpreter before it looks at the program's folder: nothing there can stand in.
_BEFORE_ANY_PROGRAM = frozenset(sys.builtin_module_names) | {
    *("_collections_abc", "_sitebuiltins", "abc", "codecs", "encodings", "genericpath", "io", "os"),
    *("posixpath", "site", "stat", "__main__"),
}


class ModuleShadowing:
    """own: `code` of a program to the top modules that its own files are, wherever it finds them.

    What it finds is kept for as long as nothing is loaded and no folder changes.
    """

    def __init__(self) -> None:
        self.local_modules: dict[str, list[str]] = {}
        self._module_count = 0
        self._loaded_modules: dict[str, str] = {}
        self._conflicts: dict[str, str] = {}
        self._folders: dict[str, tuple[int, str]] = {}

    def shadowing_reason(self, spawn_request: SpawnRequest) -> str:
        """Return why the agent must not meet what is loaded, or nothing."""
        program = parse_command(spawn_request.argv)
        if program is None:
            return "it is no program of this interpreter"
        self._refresh()
        clash = self._conflicts.get(program.code_id)
        if clash:
            return f"its own module `{clash}` has the name of one that is loaded"
        extra = [entry for entry in spawn_request.env.get("PYTHONPATH", "").split(os.pathsep) if entry]
        for folder in (program.sys_path_dir(spawn_request.cwd), *extra):
            reason = self._conflict_in(folder)
            if reason:
                return reason
        return ""

    def _refresh(self) -> None:
        if len(sys.modules) != self._module_count:
            self._module_count = len(sys.modules)
            self._loaded_modules = _loaded_top_modules()
            self._folders.clear()
            is_loaded = self._loaded_modules.__contains__
            clashes = {code: next(filter(is_loaded, own), "") for code, own in self.local_modules.items()}
            self._conflicts = {code: name for code, name in clashes.items() if name}

    def _conflict_in(self, folder: str) -> str:
        """Return which file of a folder stands before a loaded module, or nothing."""
        try:
            changed = os.stat(folder).st_mtime_ns
            known = self._folders.get(folder)
            if known is None or known[0] != changed:
                known = self._folders[folder] = (changed, self._find_conflict(folder))
        except OSError:
            return ""
        return known[1]

    def _find_conflict(self, folder: str) -> str:
        for name, file in _list_modules(folder).items():
            if name in self._loaded_modules and not self._loaded_modules[name].startswith(f"{folder}/"):
                return f"`{file}` stands before the loaded module `{name}`"
        return ""


def _loaded_top_modules() -> dict[str, str]:
    """Return the loaded top modules with their files, less those that no program can replace."""
    return {
        name: getattr(module, "__file__", None) or ""
        for name, module in sys.modules.items()
        if "." not in name and name not in _BEFORE_ANY_PROGRAM
    }


def _list_modules(folder: str) -> dict[str, str]:
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, _, suffix = entry.name.partition(".")
            if suffix.endswith(("py", "pyc", "so")) or os.path.exists(f"{entry.path}/__init__.py"):
                found[name] = entry.path
    return found
