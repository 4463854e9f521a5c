"""Replaces files atomically: new files are written beside the old ones, synced to disk, then renamed.

A sync waits for the disk and not for a processor, so threads sync many files at once; each folder is synced
once for all of its files.
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

NOT_REGULAR: Final = "not a regular file"  # in place of a digest

# Opening a pipe could block forever, and a rename replaces a link and not its target.
_OPEN_NOFOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SEQUENTIAL_LIMIT: Final = 4  # up to this count, syncing is faster than starting threads
_FSYNC_THREADS: Final = 16


class Conflict(msgspec.Struct, frozen=True, order=True):
    """A file that was not changed, and why."""

    path: str
    reason: str


class FileReplacement(msgspec.Struct, frozen=True):
    """The new content of a file.

    expected_digest: of the content to be replaced. mode: of the new file when that of the old one cannot be
    copied. mtime_ns: the modification time, None for now.
    """

    path: str
    expected_digest: str
    content: bytes
    mode: int
    mtime_ns: int | None = None


def replace_files(
    root: str, run: str, files: Sequence[FileReplacement], *, all_or_nothing: bool = False
) -> list[Conflict]:
    """Replace files by new ones; return those that were not replaced.

    run: a name that no other run in this tree has at the same time.
    all_or_nothing: a full disk is an error before the first rename; otherwise the files written so far are
    renamed, which frees space for the others.
    Raises OSError: with `all_or_nothing`, the disk is full; no file was replaced. A folder cannot be synced.
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
    """Rename the temporary files after they were synced to disk."""
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
            # As late as possible: a change between this line and the rename is lost.
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
    """Copy owner, mode and extended attributes of a file to its replacement, as far as permitted."""
    status = os.stat(path)
    with contextlib.suppress(OSError):
        os.chown(temp_path, status.st_uid, status.st_gid)
        os.chmod(temp_path, stat.S_IMODE(status.st_mode))
    with contextlib.suppress(OSError, AttributeError):
        for name in os.listxattr(path):
            os.setxattr(temp_path, name, os.getxattr(path, name))


def temporary_path(root: str, run: str, path: str) -> str:
    """Return the path of the temporary file that replaces the one at `path`."""
    directory, name = os.path.split(os.path.join(root, path))
    return os.path.join(directory, f".{name[:100]}.{run}.tmp")


def remove_temporary(root: str, run: str, path: str) -> None:
    """Remove the temporary file of a run beside a file, if it exists."""
    with contextlib.suppress(OSError):
        os.unlink(temporary_path(root, run, path))


def write_file(path: str, content: bytes, mode: int) -> None:
    """Write a file without syncing it; a file that cannot be written completely is removed."""
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
    """Sync files and folders to disk; return the errors by path."""
    if len(paths) <= _SEQUENTIAL_LIMIT:
        errors = [*map(_fsync, paths)]
    else:
        with ThreadPoolExecutor(_FSYNC_THREADS) as pool:
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
    """Return the SHA-256 digest of a content."""
    return hashlib.sha256(content).hexdigest()


def digest_file(root: str, path: str) -> str:
    """Return the digest of a file: empty when it cannot be opened, `NOT_REGULAR` for links and pipes."""
    try:
        handle = os.open(os.path.join(root, path), _OPEN_NOFOLLOW)
    except OSError as error:
        return NOT_REGULAR if error.errno == errno.ELOOP else ""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return NOT_REGULAR
    with open(handle, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
