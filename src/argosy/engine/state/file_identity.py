"""The identity of a fleet file when it was applied, to recognize it at another path."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class FileIdentity(msgspec.Struct, frozen=True):
    """A file by its inode and by its content."""

    device: int
    inode: int
    digest: str

    def has_same_inode(self, other: FileIdentity) -> bool:
        """Return whether both have the same inode; that of a deleted file may be reused."""
        return (self.device, self.inode) == (other.device, other.inode)


def identify_file(path: str | Path, digest: str = "") -> FileIdentity | None:
    """Return the identity of a file, None if it cannot be read.

    digest: of its content as it was applied, if known; it may have been edited since.
    """
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            return FileIdentity(
                found.st_dev, found.st_ino, digest or hashlib.file_digest(file, "sha256").hexdigest()
            )
    except OSError:
        return None
