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

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def on_disk(*folders: Path) -> Iterator[None]:
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
    number, where, why = error.errno, error.filename, error.strerror
    if isinstance(error, shutil.Error):  # of a tree: a list of what was refused
        _, where, why = error.args[0][0]
        found = re.search(r"\[Errno (\d+)\] ([^:]+)", why)
        number, why = (int(found[1]), found[2]) if found else (None, why)
    if number in _FULL:
        free = ", ".join(f"`{folder}` has {_free_bytes(folder) / 1e6:.1f} MB free" for folder in folders)
        message = f"{why}; what was half made is gone again, and now {free}"
        hint = "make room there; the same command goes on with what is finished"
        return Fault(str(where or ""), "disk-full", message, hint)
    return Fault(str(where or ""), "disk", why or str(error))


def _free_bytes(folder: Path) -> int:
    """Return what may be written to a folder, or will be able to once it is there."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    told = os.statvfs(there)
    return told.f_bavail * told.f_frsize
