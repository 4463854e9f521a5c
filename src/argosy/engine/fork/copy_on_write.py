"""Lays out the memory of a zygote before it forks, so that its children write to few of its pages.

A child copies each page that it writes to for the first time, be it only to count a reference. Two causes
are removed here:

* Most pages that a child writes to hold the few free blocks that its first allocations are taken from. With
  the free blocks taken, allocations go to fresh pages.
* A call counts a reference to the code object, and the code that runs lies scattered among code that never
  runs. Copies of the code that runs, made in one go, lie together. Only argosy, the standard library and
  reviewed packages get them: other code may keep a code object and compare it with a function's.

ARGOSY_ZYGOTE_WITHOUT in the environment of `argosy up` switches them off (see `SWITCHES`).
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from types import FrameType

WITHOUT_VARIABLE = "ARGOSY_ZYGOTE_WITHOUT"
# What a zygote does for its children's memory and start; what each gains: docs/explanation/process-changes.md
SWITCHES = ("warmup", "code", "heap", "malloc", "keep", "gc-freeze", "watch", "prefork")
_switched_off = frozenset(os.environ.get(WITHOUT_VARIABLE, "").split(","))

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

# A child runs them before its program; the warm-up run does not cover them.
_CHILD_MODULES = frozenset(
    f"argosy.engine.{name}"
    for name in (
        *("fork.child_setup", "fork.forker", "fork.python_program", "fork.zygote"),
        *("process.lease", "process.os_process", "process.prctl", "state.generation"),
    )
)


def is_on(switch: str) -> bool:
    """Return whether one of `SWITCHES` was not switched off for this process."""
    return switch not in _switched_off


# ---- free blocks


def fill_heap_holes() -> list[object]:
    """Allocate all scattered free small blocks, and return the objects that hold them.

    Free chunks of the C library's heap, of up to a page, are allocated too and never freed.
    """
    kept: list[object] = []
    if is_on("heap"):
        for size in range(_BLOCK_STEP_BYTES, _MAX_BLOCK_BYTES + 1, _BLOCK_STEP_BYTES):
            kept += _fill_blocks(size, _block_factory(size))
    if is_on("malloc"):
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


# ---- code that runs


def trace_code(work: Callable[[], object]) -> list[CodeType]:
    """Call `work`, and return the code that it ran, in the order of the first calls."""
    ran: dict[int, CodeType] = {}  # keyed by id: code objects of two files may be equal

    def record(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            ran.setdefault(id(frame.f_code), frame.f_code)

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        work()
    finally:
        sys.setprofile(before)
    return list(ran.values())


def compact_code(run_code: list[CodeType], packages: Container[str]) -> None:
    """Replace the code that ran by copies, in functions of argosy, the standard library and `packages`."""
    hot = {id(code): code for code in run_code}
    functions: dict[int, list[FunctionType]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType:
            code = each.__code__
            if str(each.__module__) in _CHILD_MODULES:
                hot.setdefault(id(code), code)
            if id(code) in hot and _is_compactable(each, packages):
                functions.setdefault(id(code), []).append(each)
    for code in hot.values():
        _ = code.co_code  # cached on first use: it would be allocated between the copies
    copies: dict[int, CodeType] = {}
    for key, code in hot.items():
        for function in functions.get(key, ()):
            function.__code__ = _copy(code, hot, copies)


def _is_compactable(function: FunctionType, packages: Container[str]) -> bool:
    top = str(function.__module__).partition(".")[0]
    return top == "argosy" or top in packages or top in sys.stdlib_module_names


def _copy(code: CodeType, hot: Container[int], copies: dict[int, CodeType]) -> CodeType:
    """Return a copy of code that is in `hot`, with copies of its nested code; other code unchanged."""
    found = copies.get(id(code))
    if found is None:
        consts = [_copy(each, hot, copies) if type(each) is CodeType else each for each in code.co_consts]
        found = copies[id(code)] = code.replace(co_consts=tuple(consts)) if id(code) in hot else code
    return found
