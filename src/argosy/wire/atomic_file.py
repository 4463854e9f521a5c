"""Atomic writes of small files; an unchanged file is not written.

So a full disk does not matter for a file that already has the content.
"""

from __future__ import annotations

import os


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the content of a file in one step.

    Raises OSError: the content would change, and the disk is full.
    """
    if has_content(path, data):
        return
    temp_path = f"{os.fspath(path)}.{os.getpid()}.new"
    try:
        with open(temp_path, "wb") as file:
            file.write(data)
        os.replace(temp_path, path)
    except OSError:
        if os.path.lexists(temp_path):
            os.unlink(temp_path)
        raise


def has_content(path: str | os.PathLike[str], data: bytes) -> bool:
    """Return whether a file has exactly these bytes."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
    except OSError:
        return False
