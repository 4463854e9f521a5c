"""Memory that an object has and nobody has written to, given back to the system.

A loop of uvloop has a buffer of 250 KiB in itself for streams, which argosy's agents do not use. It is filled
with zeros when the loop is made, and so takes memory; pages that are given back are filled with zeros again
when somebody comes to use them.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any

_PAGE = mmap.PAGESIZE
# Only where it is loaded anyway, as in a zygote and so in its agents: it takes more than is given back.
_ctypes: Any = sys.modules.get("ctypes")
if _ctypes:
    _libc = _ctypes.CDLL(None)
    _memcmp, _madvise = _libc.memcmp, _libc.madvise
    _memcmp.argtypes = (_ctypes.c_void_p, _ctypes.c_void_p, _ctypes.c_size_t)
    _madvise.argtypes = (_ctypes.c_void_p, _ctypes.c_size_t, _ctypes.c_int)


def release_zero_pages(target: object) -> None:
    """Give back the pages in the middle of an object, if they hold nothing but zeros.

    The first and the last are left: what it uses lies there.
    """
    start = -(-id(target) // _PAGE) * _PAGE + _PAGE
    size = (id(target) + sys.getsizeof(target)) // _PAGE * _PAGE - _PAGE - start
    if not _ctypes or size <= 0:
        return
    is_zero = not _memcmp(start, b"\0", 1) and not _memcmp(start, start + 1, size - 1)
    if is_zero:
        _madvise(start, size, mmap.MADV_DONTNEED)
