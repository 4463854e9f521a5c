"""Fills the free blocks of the heap before a fork.

Freed memory leaves holes on pages that also hold live objects. A child's allocations would fill them and
copy a whole page for a few bytes. With the holes filled, they go to fresh pages.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator

_PAGE_BYTES = 4096
# The small blocks of CPython's allocator (obmalloc.c), in multiples of 16 bytes.
_BLOCK_STEP_BYTES, _MAX_BLOCK_BYTES = 16, 512
_BYTES_HEADER = 33
_MAX_OBJECTS = 50_000
# Of glibc: the smallest chunk, its header, and the most to allocate in all, since another allocator lays
# out its blocks differently.
_MIN_CHUNK_BYTES, _CHUNK_HEADER_BYTES = 32, 8
_MAX_CHUNK_BYTES = 32 << 20

_malloc = ctypes.CDLL(None).malloc
_malloc.restype, _malloc.argtypes = ctypes.c_size_t, (ctypes.c_size_t,)


def fill_heap_holes() -> list[object]:
    """Allocate all scattered free small blocks, and return the objects that hold them.

    Free chunks of the C library's heap, of up to a page, are allocated too and never freed.
    """
    kept: list[object] = []
    for size in range(_BLOCK_STEP_BYTES, _MAX_BLOCK_BYTES + 1, _BLOCK_STEP_BYTES):
        kept += _fill_blocks(size, _block_factory(size))
    _fill_chunks()
    return kept


def _block_factory(size: int) -> Callable[[], object]:
    """Return a factory of objects that fill a block of this size."""
    if size == _BLOCK_STEP_BYTES:
        return object
    if size < _BYTES_HEADER:
        return itertools.count(1 << 29).__next__  # an int of one digit
    return lambda: bytes(size - _BYTES_HEADER)


def _fill_blocks(size: int, make: Callable[[], object]) -> Iterator[object]:
    """Yield objects until a page of them is contiguous, which is fresh memory."""
    in_a_row, previous = 0, 0
    for _ in range(_MAX_OBJECTS):
        made = make()
        in_a_row = in_a_row + 1 if id(made) - previous == size else 0
        previous = id(made)
        yield made
        if in_a_row * size >= _PAGE_BYTES:
            return


def _fill_chunks() -> None:
    """Allocate the free chunks of each size, the largest first: their rests are smaller chunks."""
    taken = 0
    for chunk in range(_PAGE_BYTES, _MIN_CHUNK_BYTES - 1, -_BLOCK_STEP_BYTES):
        in_a_row, previous = 0, 0
        while in_a_row * chunk < _PAGE_BYTES and taken < _MAX_CHUNK_BYTES:
            made = _malloc(chunk - _CHUNK_HEADER_BYTES)
            in_a_row = in_a_row + 1 if made - previous == chunk else 0
            previous = made
            taken += chunk
