"""Keeps files that the supervisor wrote open, to restore them if they are deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from typing import TYPE_CHECKING

from argosy.atomic_file import replace_file
from argosy.engine.state.generation import is_same_file

if TYPE_CHECKING:
    from pathlib import Path


class FileBackups:
    """Open descriptors of the applied plan and the address book, as last read or written."""

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}

    def hold(self, *paths: Path) -> None:
        """Open the files at these paths, in place of earlier ones."""
        for path in paths:
            with contextlib.suppress(OSError):  # missing or unreadable: keep the earlier one
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._release(path)
                self._descriptors[path] = descriptor

    def restore(self) -> None:
        """Restore missing or replaced files; on a full disk the next `argosy up` writes the rest."""
        for path, descriptor in list(self._descriptors.items()):
            if not is_same_file(path, descriptor):
                with contextlib.suppress(OSError):
                    _write_back(path, descriptor)
                    self.hold(path)

    def _release(self, path: Path) -> None:
        if path in self._descriptors:
            os.close(self._descriptors.pop(path))

    def close(self) -> None:
        """Close all files."""
        for path in list(self._descriptors):
            self._release(path)


def _write_back(path: Path, descriptor: int) -> None:
    """Copy an open file to its path atomically, with its mode."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    with open(os.dup(descriptor), "rb") as source, replace_file(path, mode=mode) as target:
        source.seek(0)
        shutil.copyfileobj(source, target)
