"""Atomic writes: a file is written under a temporary name beside its target, then renamed.

So another process sees the old file or the new one, and never a part of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

StrPath = str | os.PathLike[str]


@contextlib.contextmanager
def replace_file(
    path: StrPath,
    *,
    mode: int | None = None,
    is_synced: bool = False,
    temp_path: StrPath | None = None,
    publish: Callable[[StrPath, StrPath], None] = os.replace,
) -> Iterator[BinaryIO]:
    """Yield a new file that replaces the one at `path` when the block ends; removed after an error.

    mode: of the new file; None for 0666 without the bits of the umask. is_synced: the content is on the disk
    before the rename. temp_path: the temporary name, by default with the pid in it. publish: `os.link` fails
    if there is a file.
    """
    temp_path = temp_path or f"{os.fspath(path)}.{os.getpid()}.new"
    descriptor = os.open(temp_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666 if mode is None else mode)
    try:
        with open(descriptor, "w+b") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            yield file
            file.flush()
            if is_synced:
                os.fsync(descriptor)
            publish(temp_path, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp_path)


def write_atomic(
    path: StrPath,
    data: bytes,
    *,
    mode: int | None = None,
    is_synced: bool = False,
    temp_path: StrPath | None = None,
) -> None:
    """Replace the content of a file in one step; the arguments are those of `replace_file`."""
    with replace_file(path, mode=mode, is_synced=is_synced, temp_path=temp_path) as file:
        file.write(data)


def write_if_changed(path: StrPath, data: bytes) -> None:
    """Replace the content of a file in one step; an unchanged file is not written.

    So a full disk does not matter for a file that already has the content.
    Raises OSError: the content would change, and the disk is full.
    """
    if not has_content(path, data):
        write_atomic(path, data)


def create_atomic(path: StrPath, data: bytes, *, mode: int) -> None:
    """Create a file with a mode in one step; one that exists stays as it is."""
    with contextlib.suppress(FileExistsError), replace_file(path, mode=mode, publish=os.link) as file:
        file.write(data)


def has_content(path: StrPath, data: bytes) -> bool:
    """Return whether a file has exactly these bytes."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
    except OSError:
        return False
