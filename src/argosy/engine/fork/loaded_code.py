"""Detects whether a file has changed since this process loaded it."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable

from argosy.engine.state import filesystem
from argosy.engine.state.filesystem import is_network_filesystem

_SYSTEM_PREFIXES = ("/usr/lib/x86_64", "/lib/", "/usr/lib64/", "/memfd:", "/dev/", "/SYSV")


class LoadedCode:
    """Size, mtime and inode of each file that this process has loaded, and mtimes of package directories.

    Installing or removing a package changes the directory's mtime. The files are checked again only when
    inotify reports a change in their directories or of the files themselves (which may have other links):
    checking hundreds of files before each fork would copy the pages that hold their names. Where inotify
    is not available, on a network file system or without free watches, they are checked each time.

    extra_files: further files whose code is kept.
    """

    def __init__(self, extra_files: Iterable[str] = ()) -> None:
        files = {path for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))}
        paths = [path for path in files | _mapped_files() | set(extra_files) if os.path.isabs(path)]
        directories = [*site.getsitepackages(), site.getusersitepackages()]
        self._watch = _watch(paths)
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
