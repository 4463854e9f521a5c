"""File system calls that Python does not have, by ctypes.

inotify(7) watches files; statfs(2) detects a network file system; fallocate(2) frees the blocks at the
beginning of a file that other processes have open, without moving the rest.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


# linux/magic.h; on these a lock may be held by another machine or a dead server, and proves nothing.
_NETWORK_MAGIC = frozenset({0x6969, 0x517B, 0xFF534D42, 0xFE534D42})
_KEEP_SIZE, _PUNCH_HOLE = 0x1, 0x2
# struct statfs is 120 bytes on 64-bit Linux; its first field is the type, a long.
_STATFS_BYTES = 256

_libc = ctypes.CDLL(None, use_errno=True)


def is_network_filesystem(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` lies on NFS or SMB.

    Raises OSError: it does not exist.
    """
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.statfs(os.fsencode(path), found) != 0:
        raise _errno_error(path)
    return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF in _NETWORK_MAGIC


def punch_hole(descriptor: int, start: int, length: int) -> None:
    """Free the blocks of these bytes of a file; they read as zeros, and the size stays.

    Raises OSError: the file system does not support it (EOPNOTSUPP).
    """
    mode = _KEEP_SIZE | _PUNCH_HOLE
    if _libc.fallocate(descriptor, mode, ctypes.c_int64(start), ctypes.c_int64(length)) != 0:
        raise _errno_error(descriptor)


def _errno_error(what: object) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(what))


MODIFY = 0x2
_ATTRIBUTES, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x4, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
# All events that may change the content at a path.
ANY_CHANGE = MODIFY | _ATTRIBUTES | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
# A file is unlinked; for an open file the kernel reports the changed link count.
UNLINK = _ATTRIBUTES | _MOVE_SELF
OVERFLOW = 0x4000


def open_watch(paths: Iterable[str | os.PathLike[str]], event_mask: int) -> int:
    """Return a non-blocking inotify descriptor for these paths and events.

    Raises OSError: the kernel grants no more watches, or a path does not exist.
    """
    descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise _errno_error("")
    for path in paths:
        if _libc.inotify_add_watch(descriptor, os.fsencode(path), event_mask) < 0:
            error = _errno_error(path)
            os.close(descriptor)
            raise error
    return descriptor
