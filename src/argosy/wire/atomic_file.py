"""A small file that readers see whole, old or new; one that would be the same is not written.

So nothing is needed of a full disk for what is there already.
"""

from __future__ import annotations

import os


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Have a file hold these bytes, exchanged in one step.

    Raises OSError: it would change, and the disk is full.
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
