"""What the disk refuses, with the place and what is free there."""

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
    """Name what cannot be read or written in the block. folders: where it writes; they need not be there yet.

    Raises RefusedError: a file or a folder was refused.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads what is told; that is not the disk's
    except OSError as error:
        raise RefusedError(disk_fault(error, folders)) from error


def disk_fault(error: OSError, folders: tuple[Path, ...]) -> Fault:
    """Return what a person has to know of a refusal."""
    number, where, reason = error.errno, error.filename, error.strerror
    if isinstance(error, shutil.Error):  # of a tree: a list of what was refused
        _, where, reason = error.args[0][0]
        found = re.search(r"\[Errno (\d+)\] ([^:]+)", reason)
        number, reason = (int(found[1]), found[2]) if found else (None, reason)
    if number in _DISK_FULL:
        free = ", ".join(f"`{folder}` has {_free_bytes(folder) / 1e6:.1f} MB free" for folder in folders)
        message = f"{reason}; what was half made is gone again, and now {free}"
        hint = "make room there; the same command goes on with what is finished"
        return Fault(str(where or ""), "disk-full", message, hint)
    return Fault(str(where or ""), "disk", reason or str(error))


def _free_bytes(folder: Path) -> int:
    """Return what may be written to a folder, or will be able to once it is there."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    stats = os.statvfs(existing)
    return stats.f_bavail * stats.f_frsize
