"""The holes of a heap: what is allocated once they are taken lies side by side."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: the heap of one that has run tests has more holes than are made here.
PROGRAM = """
from itertools import pairwise
from argosy.engine.fork.cow_heap import fill_heap_holes

SIZE = {size}  # of a block; an object of `bytes` has 33 of them for itself
made = [bytes(SIZE - 33) for _ in range(4000)]
kept = made[::2]
del made  # every second block is a hole
fillings = fill_heap_holes()
blocks = [bytes(SIZE - 33) for _ in range(40)]
gaps = sum(not 0 <= id(after) - id(before) - SIZE <= {beside} for before, after in pairwise(blocks))
print(gaps, len(fillings) - len(kept))
"""


def fill(size: int, beside: int) -> tuple[int, int]:
    program = PROGRAM.format(size=size, beside=beside)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    gaps, more = map(int, done.stdout.split())
    return gaps, more


def test_what_comes_after_lies_side_by_side() -> None:
    gaps, more = fill(size=64, beside=0)
    assert gaps < 8, "the list itself takes some as it grows"
    assert more > -100


def test_what_is_too_large_for_the_interpreters_allocator_lies_side_by_side_too() -> None:
    gaps, _ = fill(size=1600, beside=16)
    assert gaps < 8
