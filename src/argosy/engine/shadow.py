"""Whether an agent has a module of its own by the name of one that the zygote has loaded.

`python script.py` would take the file beside the script; a forked child would meet the loaded
module instead. Such an agent is not forked.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from argosy.engine.program import parse_command

if TYPE_CHECKING:
    from argosy.engine.order import Order

# Loaded by every interpreter before it looks at the program's folder: nothing there can stand in.
_BEFORE_ANY_PROGRAM = frozenset(sys.builtin_module_names) | {
    *("_collections_abc", "_sitebuiltins", "abc", "codecs", "encodings", "genericpath", "io", "os"),
    *("posixpath", "site", "stat", "__main__"),
}


class Shadows:
    """own: `code` of a program to the top modules that its own files are, wherever it finds them."""

    def __init__(self) -> None:
        self.own: dict[str, list[str]] = {}
        self._names: dict[str, tuple[int, dict[str, str]]] = {}

    def shadowed(self, order: Order) -> str:
        """Return why the agent must not meet what is loaded, or nothing."""
        program = parse_command(order.argv)
        if program is None:
            return "it is no program of this interpreter"
        loaded = _loaded_tops()
        for name in self.own.get(program.code, ()):
            if name in loaded:
                return f"its own module `{name}` has the name of one that is loaded"
        extra = [entry for entry in order.env.get("PYTHONPATH", "").split(os.pathsep) if entry]
        for folder in (program.folder(order.cwd), *extra):
            for name, file in self._modules_in(folder).items():
                if name in loaded and not loaded[name].startswith(f"{folder}/"):
                    return f"`{file}` stands before the loaded module `{name}`"
        return ""

    def _modules_in(self, folder: str) -> dict[str, str]:
        """Return the importable names of a folder with their files; listed anew when it has changed."""
        try:
            changed = os.stat(folder).st_mtime_ns
            known = self._names.get(folder)
            if known is None or known[0] != changed:
                known = self._names[folder] = (changed, _list(folder))
        except OSError:
            return {}
        return known[1]


def _loaded_tops() -> dict[str, str]:
    """Return the loaded top modules with their files, less those that no program can replace."""
    return {
        name: getattr(module, "__file__", None) or ""
        for name, module in sys.modules.items()
        if "." not in name and name not in _BEFORE_ANY_PROGRAM
    }


def _list(folder: str) -> dict[str, str]:
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, _, suffix = entry.name.partition(".")
            if suffix.endswith(("py", "pyc", "so")) or os.path.exists(f"{entry.path}/__init__.py"):
                found[name] = entry.path
    return found
