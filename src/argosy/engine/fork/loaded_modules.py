"""Whether a zygote still has what an agent would load: the files on disk, and none of the agent's own names.

`python script.py` would import the file beside the script; a forked child would get the loaded module of
that name instead. Such an agent is not forked.
"""

from __future__ import annotations

import os
import site
import sys
from typing import TYPE_CHECKING

from argosy.engine.fork.copy_on_write import is_on
from argosy.engine.fork.python_program import parse_command
from argosy.engine.state import filesystem
from argosy.engine.state.filesystem import is_network_filesystem

if TYPE_CHECKING:
    from argosy.engine.protocol.fork_protocol import SpawnRequest

_SYSTEM_PREFIXES = ("/usr/lib/x86_64", "/lib/", "/usr/lib64/", "/memfd:", "/dev/", "/SYSV")
# Loaded by every interpreter before it searches the program's directory, which cannot shadow them.
_BEFORE_ANY_PROGRAM = frozenset(sys.builtin_module_names) | {
    *("_collections_abc", "_sitebuiltins", "abc", "codecs", "encodings", "genericpath", "io", "os"),
    *("posixpath", "site", "stat", "__main__"),
}


class LoadedCode:
    """Size, mtime and inode of each file that this process has loaded, and mtimes of package directories.

    Installing or removing a package changes the directory's mtime. The files are checked again only when
    inotify reports a change in their directories or of the files themselves (which may have other links):
    checking hundreds of files before each fork would copy the pages that hold their names. Where inotify
    is not available, on a network file system or without free watches, they are checked each time.
    """

    def __init__(self) -> None:
        files = {path for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))}
        paths = [path for path in files | _mapped_files() if os.path.isabs(path)]
        directories = [*site.getsitepackages(), site.getusersitepackages()]
        self._watch = _watch(paths) if is_on("watch") else None
        self._files = {path: _file_stamp(path) for path in paths}
        self._package_dirs = {path: _mtime_of(path) for path in directories}

    @property
    def descriptors(self) -> set[int]:
        """Return the open descriptors of this object."""
        return set() if self._watch is None else {self._watch}

    def changed_path(self) -> str:
        """Return a path that has changed since it was loaded, or an empty string."""
        for path, time in self._package_dirs.items():
            if _mtime_of(path) != time:
                return path
        if self._watch is not None and not _has_changes(self._watch):
            return ""
        for path, before in self._files.items():
            if _file_stamp(path) != before:
                return path
        return ""


def _watch(paths: list[str]) -> int | None:
    """Return an inotify descriptor for these files and their directories, None where none is possible."""
    directories = {os.path.dirname(path) for path in paths}
    try:
        by_device = {os.stat(directory).st_dev: directory for directory in directories}
        if any(map(is_network_filesystem, by_device.values())):
            return None
        return filesystem.open_watch([*directories, *paths], filesystem.ANY_CHANGE)
    except OSError:
        return None


def _has_changes(watch: int) -> bool:
    has_any = False
    try:
        while os.read(watch, 65536):
            has_any = True
    except BlockingIOError:
        return has_any
    return True


def _file_stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _mtime_of(path: str) -> int | None:
    found = _file_stamp(path)
    return found[0] if found else None


def _mapped_files() -> set[str]:
    """Return the mapped libraries of this process that belong to packages, not to the system."""
    with open("/proc/self/maps") as file:
        fields = [line.split(maxsplit=5) for line in file]
    paths = {each[5].rstrip("\n") for each in fields if len(each) == 6}
    return {path for path in paths if path.startswith("/") and not path.startswith(_SYSTEM_PREFIXES)}


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
