"""Creates files and folders atomically: under a temporary name beside the target, then renamed.

The creating process holds a lock on the temporary file or folder. A killed process leaves it unlocked, and
`remove_stale` removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from argosy.atomic_file import replace_file

_TEMPORARY_PREFIX: Final = ".new-"
# For this long a temporary file may be unlocked: it is locked only after it was created.
_GRACE_S: Final = 5.0


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file atomically; its mode is 0644."""
    temp_path = path.parent / f"{_TEMPORARY_PREFIX}{os.urandom(8).hex()}"
    with replace_file(path, mode=0o644, temp_path=temp_path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(data)


@contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """Yield an empty folder inside `beside`, which is removed after the block."""
    name = tempfile.mkdtemp(dir=beside, prefix=_TEMPORARY_PREFIX)
    with _flock(os.open(name, os.O_RDONLY | os.O_DIRECTORY)), _removing(name):
        yield Path(name)


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that is renamed to `target` when the block ends without an error.

    When another process has created `target` meanwhile, that one is kept: both have the same content.
    """
    with temporary_folder(target.parent) as folder:
        folder.chmod(0o755)
        yield folder
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder during the block; waits for it."""
    with _flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY)):
        yield


def remove_stale(folder: Path) -> None:
    """Remove temporary files and folders that killed processes left in a folder."""
    for path in folder.glob(f"{_TEMPORARY_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _GRACE_S and not _is_locked(path):
                _remove(str(path))


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _flock(descriptor: int) -> Iterator[None]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _removing(name: str) -> Iterator[None]:
    try:
        yield
    finally:
        _remove(name)


def _remove(name: str) -> None:
    if os.path.isdir(name):
        shutil.rmtree(name, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
