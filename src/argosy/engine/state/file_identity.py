"""What a fleet file was when it was applied, to know it again at another path."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class FileIdentity(msgspec.Struct, frozen=True):
    """A file by its place on the disk and by its content."""

    device: int
    inode: int
    digest: str

    def has_same_inode(self, other: FileIdentity) -> bool:
        """Return whether both were at one place on the disk; a deleted file's number is given out again."""
        return (self.device, self.inode) == (other.device, other.inode)


def identify_file(path: str | Path, digest: str = "") -> FileIdentity | None:
    """Return the mark of a file, None where it cannot be read.

    digest: of its content as it was applied, where that is known; it may have been edited since.
    """
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            return FileIdentity(
                found.st_dev, found.st_ino, digest or hashlib.file_digest(file, "sha256").hexdigest()
            )
    except OSError:
        return None
