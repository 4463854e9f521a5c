"""What the file system under the state folder can do, where Python has no word for it (ctypes).

statfs(2) tells a network file system; fallocate(2) gives back the blocks at the beginning of a file
that others have open, without moving what follows.
"""

from __future__ import annotations

import ctypes
import os

# linux/magic.h; on these a lock of another machine, or of a dead server, proves nothing here.
_NETWORK_MAGIC = frozenset({0x6969, 0x517B, 0xFF534D42, 0xFE534D42})
_KEEP_SIZE, _PUNCH_HOLE = 0x1, 0x2
# struct statfs is 120 bytes on 64-bit Linux; its first field is the type, a long.
_STATFS_BYTES = 256

_libc = ctypes.CDLL(None, use_errno=True)


def is_network_filesystem(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` lies on NFS or SMB.

    Raises OSError: it is not there.
    """
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.statfs(os.fsencode(path), found) != 0:
        raise _errno_error(path)
    return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF in _NETWORK_MAGIC


def punch_hole(descriptor: int, start: int, length: int) -> None:
    """Give back the space of these bytes of a file; they read as zeros, and its size stays.

    Raises OSError: the file system cannot (EOPNOTSUPP).
    """
    mode = _KEEP_SIZE | _PUNCH_HOLE
    if _libc.fallocate(descriptor, mode, ctypes.c_int64(start), ctypes.c_int64(length)) != 0:
        raise _errno_error(descriptor)


def _errno_error(what: object) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(what))
