"""The signature of loaded code: whether a file has changed since this process loaded it."""

from __future__ import annotations

import os
import site
import sys

_SYSTEM = ("/usr/lib/x86_64", "/lib/", "/usr/lib64/", "/memfd:", "/dev/", "/SYSV")


class Signature:
    """Size, time and number of each file that this process has loaded, and the times of package folders.

    A package that is installed or removed changes the folder's time, so it counts too.
    """

    def __init__(self) -> None:
        files = {path for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))}
        self._files = {path: _look(path) for path in files | _mapped_files() if os.path.isabs(path)}
        folders = [*site.getsitepackages(), site.getusersitepackages()]
        self._folders = {path: _time_of(path) for path in folders}

    def changed(self) -> str:
        """Return a path that is not as it was loaded, or nothing."""
        for path, before in self._files.items():
            if _look(path) != before:
                return path
        for path, time in self._folders.items():
            if _time_of(path) != time:
                return path
        return ""


def _look(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _time_of(path: str) -> int | None:
    found = _look(path)
    return found[0] if found else None


def _mapped_files() -> set[str]:
    """Return the libraries in this process that came with packages, not with the system."""
    with open("/proc/self/maps") as file:
        fields = [line.split(maxsplit=5) for line in file]
    paths = {each[5].rstrip("\n") for each in fields if len(each) == 6}
    return {path for path in paths if path.startswith("/") and not path.startswith(_SYSTEM)}
