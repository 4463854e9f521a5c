"""The generation: a number that every new supervisor raises before it looks at what runs.

A start that is under way when the supervisor dies has either locked and recorded its lease before
it read the generation, and then the next supervisor's scan sees it, or it reads the new number
and ends itself. No timing is assumed.
"""

from __future__ import annotations

import os

from argosy.engine.lease import lock_within, open_lease

_WIDTH = 20


def read_generation(path: str | os.PathLike[str]) -> int:
    """Return the generation in the supervisor's lock file, 0 when there is none yet."""
    try:
        with open(path, "rb") as file:
            return int(file.read(_WIDTH) or b"0")
    except FileNotFoundError:
        return 0


def hold(path: str | os.PathLike[str], within_s: float) -> int | None:
    """Return a descriptor that holds the supervisor's lock, or None when another has it."""
    descriptor = open_lease(path)
    if lock_within(descriptor, within_s):
        return descriptor
    os.close(descriptor)
    return None


def raise_generation(descriptor: int) -> int:
    """Raise the number in the held lock file by one and return it.

    The width is fixed and the write is one piece, so a reader meets the old number or the new.
    """
    number = int(os.pread(descriptor, _WIDTH, 0) or b"0") + 1
    os.pwrite(descriptor, b"%0*d" % (_WIDTH, number), 0)
    return number
