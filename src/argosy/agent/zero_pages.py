"""Returns zero pages of an object to the system.

A loop of uvloop contains a buffer of 250 KiB for streams, which argosy's agents do not use. It is filled
with zeros when the loop is made, and so occupies memory; released pages read as zeros again
when they are used.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any

_PAGE = mmap.PAGESIZE
# Only if it is loaded anyway, as in a zygote and so in its agents: loading it takes more than is released.
_ctypes: Any = sys.modules.get("ctypes")
if _ctypes:
    _libc = _ctypes.CDLL(None)
    _memcmp, _madvise = _libc.memcmp, _libc.madvise
    _memcmp.argtypes = (_ctypes.c_void_p, _ctypes.c_void_p, _ctypes.c_size_t)
    _madvise.argtypes = (_ctypes.c_void_p, _ctypes.c_size_t, _ctypes.c_int)


def release_zero_pages(target: object) -> None:
    """Release the pages in the middle of an object, if they hold nothing but zeros.

    The first and the last page are kept: the object's own fields lie there.
    """
    start = -(-id(target) // _PAGE) * _PAGE + _PAGE
    size = (id(target) + sys.getsizeof(target)) // _PAGE * _PAGE - _PAGE - start
    if not _ctypes or size <= 0:
        return
    is_zero = not _memcmp(start, b"\0", 1) and not _memcmp(start, start + 1, size - 1)
    if is_zero:
        _madvise(start, size, mmap.MADV_DONTNEED)
