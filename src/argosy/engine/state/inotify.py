"""Watches of the kernel on files and folders (inotify(7)), which the standard library has no word for."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MODIFY = 0x2
_ATTRIBUTES, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x4, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
# Whatever can make the content at a path another one.
ANY_CHANGE = MODIFY | _ATTRIBUTES | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
# A file's name goes away; of one that is open the kernel tells that it has a link less.
UNLINK = _ATTRIBUTES | _MOVE_SELF
OVERFLOW = 0x4000

_libc = ctypes.CDLL(None, use_errno=True)


def open_watch(paths: Iterable[str | os.PathLike[str]], event_mask: int) -> int:
    """Return a descriptor that never blocks and holds an event for each change of these kinds.

    Raises OSError: the kernel grants no more watches, or a path is not there.
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
