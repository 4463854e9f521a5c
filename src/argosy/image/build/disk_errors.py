"""Reports disk errors as faults, with the path and the free space."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argosy.fault import Fault, RefusedError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_errors_as_faults(*folders: Path) -> Iterator[None]:
    """Convert OSError in the block to RefusedError. folders: where the block writes; they need not exist yet.

    Raises RefusedError: a file or folder cannot be read or written.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # of the progress output, not of the disk
    except OSError as error:
        raise RefusedError(disk_fault(error, folders)) from error


def disk_fault(error: OSError, folders: tuple[Path, ...]) -> Fault:
    """Return the fault of an OSError; a full disk is reported with the free space of `folders`."""
    number, where, reason = error.errno, error.filename, error.strerror
    if isinstance(error, shutil.Error):  # of copying a tree: a list of errors
        _, where, reason = error.args[0][0]
        found = re.search(r"\[Errno (\d+)\] ([^:]+)", reason)
        number, reason = (int(found[1]), found[2]) if found else (None, reason)
    if number in _DISK_FULL:
        free = ", ".join(f"`{folder}` has {_free_bytes(folder) / 1e6:.1f} MB free" for folder in folders)
        message = f"{reason}; incomplete files were removed, and now {free}"
        hint = "free some space there; the same command then continues with the finished files"
        return Fault(str(where or ""), "disk-full", message, hint)
    return Fault(str(where or ""), "disk", reason or str(error))


def _free_bytes(folder: Path) -> int:
    """Return the bytes free for a folder, which need not exist yet."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    stats = os.statvfs(existing)
    return stats.f_bavail * stats.f_frsize
