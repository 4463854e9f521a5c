"""Files that a supervisor wrote once and others read: held open, so that they can be put back when somebody
deletes them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from typing import TYPE_CHECKING

from argosy.engine.generation import is_at

if TYPE_CHECKING:
    from pathlib import Path


class Papers:
    """The fleet that was applied and the address book, as they were read or written last."""

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}

    def keep(self, *paths: Path) -> None:
        """Hold what is at these paths now, instead of what was there before."""
        for path in paths:
            with contextlib.suppress(OSError):  # it is not there, or cannot be read: what was held is better
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._let_go(path)
                self._held[path] = descriptor

    def restore(self) -> None:
        """Put back what is not in its place; a full disk leaves the rest to the next `argosy up`."""
        for path, descriptor in list(self._held.items()):
            if not is_at(path, descriptor):
                with contextlib.suppress(OSError):
                    _write_again(path, descriptor)
                    self.keep(path)

    def _let_go(self, path: Path) -> None:
        if path in self._held:
            os.close(self._held.pop(path))

    def close(self) -> None:
        """Hold nothing any more."""
        for path in list(self._held):
            self._let_go(path)


def _write_again(path: Path, descriptor: int) -> None:
    """Copy an open file to its path, with its mode; readers see all of it or nothing."""
    beside = path.with_suffix(".new")
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    try:
        copy = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(copy, "wb") as target, open(os.dup(descriptor), "rb") as source:
            source.seek(0)
            shutil.copyfileobj(source, target)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
