"""The holes of a heap: what is allocated once they are taken lies side by side."""

from __future__ import annotations

from itertools import pairwise

from argosy.engine.heap import fill_holes

SIZE = 64  # of a block; an object of `bytes` has 33 of them for itself


def gaps(blocks: list[bytes]) -> int:
    """Return how often the next of these is not the next in memory."""
    return sum(id(after) - id(before) != SIZE for before, after in pairwise(blocks))


def test_what_comes_after_lies_side_by_side() -> None:
    made = [bytes(SIZE - 33) for _ in range(4000)]
    kept = made[::2]
    del made  # every second block is a hole
    fillings = fill_holes()
    # The list itself takes some as it grows.
    assert gaps([bytes(SIZE - 33) for _ in range(40)]) < 8
    assert len(fillings) > len(kept) - 100
