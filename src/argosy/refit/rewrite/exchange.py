"""Files exchanged for others: written beside them, flushed, then renamed, each whole or not at all.

A flush waits for the disk and not for a processor, so many wait at once, and a folder is flushed once for all
of its files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

ODD: Final = "no plain file"

# A pipe would be waited for without end, and what a link leads to is not what a rename exchanges.
_NO_FOLLOWING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FEW: Final = 4  # so few are flushed before threads have begun
_AT_ONCE: Final = 16


class Kept(msgspec.Struct, frozen=True, order=True):
    """A file that was left alone, and why."""

    path: str
    reason: str


class Exchange(msgspec.Struct, frozen=True):
    """What shall be in the place of a file.

    expected: the digest of what has to be there until then. mode: of the new file where the old one's
    cannot be had. mtime_ns: when it was written, None for now.
    """

    path: str
    expected: str
    content: bytes
    mode: int
    mtime_ns: int | None = None


def exchange(root: str, run: str, files: Sequence[Exchange], *, is_whole: bool = False) -> list[Kept]:
    """Put new files in the place of old ones; return those that were left alone.

    run: a name that no other exchange in this tree has at the same time.
    is_whole: a full disk is an error before the first rename; else what is ready is renamed, which gives room
    for the others.
    Raises OSError: with `is_whole`, the disk is full; no file was exchanged. A folder cannot be flushed.
    """
    kept: list[Kept] = []
    left = deque(files)
    try:
        while left:
            ready: list[Exchange] = []
            while left:
                try:
                    _write_beside(root, run, left[0])
                except OSError as error:
                    if error.errno in _FULL and is_whole:
                        raise
                    if error.errno in _FULL and ready:
                        break
                    kept.append(_unwritten(left.popleft(), error))
                else:
                    ready.append(left.popleft())
            kept += _put(root, run, ready, is_whole=is_whole)
    except BaseException:
        for file in files:
            remove_temporary(root, run, file.path)
        raise
    return kept


def _put(root: str, run: str, ready: Sequence[Exchange], *, is_whole: bool) -> list[Kept]:
    """Rename what is written, once it is on the disk."""
    kept: list[Kept] = []
    folders: set[str] = set()
    failed = flush([temporary(root, run, file.path) for file in ready])
    for fault in failed.values():
        if is_whole and fault.errno in _FULL:
            raise fault
    for file in ready:
        path, beside = os.path.join(root, file.path), temporary(root, run, file.path)
        try:
            if beside in failed:
                raise failed[beside]
            # As late as can be: what somebody writes after this line and before the rename is lost.
            if digest_of(root, file.path) == file.expected:
                os.replace(beside, path)
                folders.add(os.path.dirname(path))
                continue
            kept.append(Kept(file.path, "it changed while it was being rewritten"))
        except OSError as error:
            kept.append(_unwritten(file, error))
        remove_temporary(root, run, file.path)
    for fault in flush(folders).values():
        raise fault
    return kept


def _unwritten(file: Exchange, error: OSError) -> Kept:
    return Kept(file.path, f"it cannot be written: {(error.strerror or str(error)).lower()}")


def _write_beside(root: str, run: str, file: Exchange) -> None:
    path, beside = os.path.join(root, file.path), temporary(root, run, file.path)
    write(beside, file.content, file.mode)
    try:
        _take_after(path, beside)
        if file.mtime_ns is not None:
            os.utime(beside, ns=(time.time_ns(), file.mtime_ns))
    except OSError:
        remove_temporary(root, run, file.path)
        raise


def _take_after(path: str, beside: str) -> None:
    """Give a new file the owner, mode and attributes of the one it stands in for, as far as one may."""
    told = os.stat(path)
    with contextlib.suppress(OSError):
        os.chown(beside, told.st_uid, told.st_gid)
        os.chmod(beside, stat.S_IMODE(told.st_mode))
    with contextlib.suppress(OSError, AttributeError):
        for name in os.listxattr(path):
            os.setxattr(beside, name, os.getxattr(path, name))


def temporary(root: str, run: str, path: str) -> str:
    """Return where a new file is written before it stands in the place of the one at `path`."""
    folder, name = os.path.split(os.path.join(root, path))
    return os.path.join(folder, f".{name[:100]}.{run}.tmp")


def remove_temporary(root: str, run: str, path: str) -> None:
    """Remove what a run has written beside a file, if it has."""
    with contextlib.suppress(OSError):
        os.unlink(temporary(root, run, path))


def write(path: str, content: bytes, mode: int) -> None:
    """Write a whole new file, not yet flushed; of one that cannot be written whole nothing is left."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def flush(paths: Collection[str]) -> dict[str, OSError]:
    """Wait until files and folders are on the disk as they are; return those that could not be, and why."""
    if len(paths) <= _FEW:
        told = [*map(_flush, paths)]
    else:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            told = list(pool.map(_flush, paths))
    return {path: error for path, error in zip(paths, told, strict=True) if error is not None}


def _flush(path: str) -> OSError | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        return error
    return None


def digest(content: bytes) -> str:
    """Return what tells a content from others."""
    return hashlib.sha256(content).hexdigest()


def digest_of(root: str, path: str) -> str:
    """Return the digest of a file, empty when it is not there; links and pipes are not followed or read."""
    try:
        handle = os.open(os.path.join(root, path), _NO_FOLLOWING)
    except OSError as error:
        return ODD if error.errno == errno.ELOOP else ""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return ODD
    with open(handle, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
