"""File watches by inotify(7), which the standard library does not have."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MODIFY = 0x2
_ATTRIBUTES, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x4, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
# All events that may change the content at a path.
ANY_CHANGE = MODIFY | _ATTRIBUTES | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
# A file is unlinked; for an open file the kernel reports the changed link count.
UNLINK = _ATTRIBUTES | _MOVE_SELF
OVERFLOW = 0x4000

_libc = ctypes.CDLL(None, use_errno=True)


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


def _errno_error(path: str | os.PathLike[str]) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(path))
