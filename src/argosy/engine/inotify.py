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
CHANGE = MODIFY | _ATTRIBUTES | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
# A file's name goes away; of one that is open the kernel tells that it has a link less.
UNLINK = _ATTRIBUTES | _MOVE_SELF
OVERFLOW = 0x4000

_libc = ctypes.CDLL(None, use_errno=True)


def watch(paths: Iterable[str | os.PathLike[str]], kinds: int) -> int:
    """Return a descriptor that never blocks and holds an event for each change of these kinds.

    Raises OSError: the kernel grants no more watches, or a path is not there.
    """
    descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise _error("")
    for path in paths:
        if _libc.inotify_add_watch(descriptor, os.fsencode(path), kinds) < 0:
            error = _error(path)
            os.close(descriptor)
            raise error
    return descriptor


def _error(path: str | os.PathLike[str]) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(path))
