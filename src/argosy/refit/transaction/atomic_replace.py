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

NOT_REGULAR: Final = "no plain file"

# A pipe would be waited for without end, and what a link leads to is not what a rename exchanges.
_OPEN_NOFOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SEQUENTIAL_LIMIT: Final = 4  # so few are flushed before threads have begun
_FLUSH_THREADS: Final = 16


class Conflict(msgspec.Struct, frozen=True, order=True):
    """A file that was left alone, and why."""

    path: str
    reason: str


class FileReplacement(msgspec.Struct, frozen=True):
    """What shall be in the place of a file.

    expected: the digest of what has to be there until then. mode: of the new file where the old one's
    cannot be had. mtime_ns: when it was written, None for now.
    """

    path: str
    expected_digest: str
    content: bytes
    mode: int
    mtime_ns: int | None = None


def replace_files(
    root: str, run: str, files: Sequence[FileReplacement], *, all_or_nothing: bool = False
) -> list[Conflict]:
    """Put new files in the place of old ones; return those that were left alone.

    run: a name that no other exchange in this tree has at the same time.
    is_whole: a full disk is an error before the first rename; else what is ready is renamed, which gives room
    for the others.
    Raises OSError: with `is_whole`, the disk is full; no file was exchanged. A folder cannot be flushed.
    """
    conflicts: list[Conflict] = []
    pending = deque(files)
    try:
        while pending:
            ready: list[FileReplacement] = []
            while pending:
                try:
                    _write_temporary(root, run, pending[0])
                except OSError as error:
                    if error.errno in _DISK_FULL and all_or_nothing:
                        raise
                    if error.errno in _DISK_FULL and ready:
                        break
                    conflicts.append(_write_conflict(pending.popleft(), error))
                else:
                    ready.append(pending.popleft())
            conflicts += _rename_into_place(root, run, ready, all_or_nothing=all_or_nothing)
    except BaseException:
        for file in files:
            remove_temporary(root, run, file.path)
        raise
    return conflicts


def _rename_into_place(
    root: str, run: str, ready: Sequence[FileReplacement], *, all_or_nothing: bool
) -> list[Conflict]:
    """Rename what is written, once it is on the disk."""
    conflicts: list[Conflict] = []
    directories: set[str] = set()
    failed = fsync_all([temporary_path(root, run, file.path) for file in ready])
    for os_error in failed.values():
        if all_or_nothing and os_error.errno in _DISK_FULL:
            raise os_error
    for file in ready:
        path, temp_path = os.path.join(root, file.path), temporary_path(root, run, file.path)
        try:
            if temp_path in failed:
                raise failed[temp_path]
            # As late as can be: what somebody writes after this line and before the rename is lost.
            if digest_file(root, file.path) == file.expected_digest:
                os.replace(temp_path, path)
                directories.add(os.path.dirname(path))
                continue
            conflicts.append(Conflict(file.path, "it changed while it was being rewritten"))
        except OSError as error:
            conflicts.append(_write_conflict(file, error))
        remove_temporary(root, run, file.path)
    for os_error in fsync_all(directories).values():
        raise os_error
    return conflicts


def _write_conflict(file: FileReplacement, error: OSError) -> Conflict:
    return Conflict(file.path, f"it cannot be written: {(error.strerror or str(error)).lower()}")


def _write_temporary(root: str, run: str, file: FileReplacement) -> None:
    path, temp_path = os.path.join(root, file.path), temporary_path(root, run, file.path)
    write_file(temp_path, file.content, file.mode)
    try:
        _copy_metadata(path, temp_path)
        if file.mtime_ns is not None:
            os.utime(temp_path, ns=(time.time_ns(), file.mtime_ns))
    except OSError:
        remove_temporary(root, run, file.path)
        raise


def _copy_metadata(path: str, temp_path: str) -> None:
    """Give a new file the owner, mode and attributes of the one it stands in for, as far as one may."""
    status = os.stat(path)
    with contextlib.suppress(OSError):
        os.chown(temp_path, status.st_uid, status.st_gid)
        os.chmod(temp_path, stat.S_IMODE(status.st_mode))
    with contextlib.suppress(OSError, AttributeError):
        for name in os.listxattr(path):
            os.setxattr(temp_path, name, os.getxattr(path, name))


def temporary_path(root: str, run: str, path: str) -> str:
    """Return where a new file is written before it stands in the place of the one at `path`."""
    directory, name = os.path.split(os.path.join(root, path))
    return os.path.join(directory, f".{name[:100]}.{run}.tmp")


def remove_temporary(root: str, run: str, path: str) -> None:
    """Remove what a run has written beside a file, if it has."""
    with contextlib.suppress(OSError):
        os.unlink(temporary_path(root, run, path))


def write_file(path: str, content: bytes, mode: int) -> None:
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


def fsync_all(paths: Collection[str]) -> dict[str, OSError]:
    """Wait until files and folders are on the disk as they are; return those that could not be, and why."""
    if len(paths) <= _SEQUENTIAL_LIMIT:
        errors = [*map(_fsync, paths)]
    else:
        with ThreadPoolExecutor(_FLUSH_THREADS) as pool:
            errors = list(pool.map(_fsync, paths))
    return {path: error for path, error in zip(paths, errors, strict=True) if error is not None}


def _fsync(path: str) -> OSError | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        return error
    return None


def digest_bytes(content: bytes) -> str:
    """Return what tells a content from others."""
    return hashlib.sha256(content).hexdigest()


def digest_file(root: str, path: str) -> str:
    """Return the digest of a file, empty when it is not there; links and pipes are not followed or read."""
    try:
        handle = os.open(os.path.join(root, path), _OPEN_NOFOLLOW)
    except OSError as error:
        return NOT_REGULAR if error.errno == errno.ELOOP else ""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return NOT_REGULAR
    with open(handle, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
