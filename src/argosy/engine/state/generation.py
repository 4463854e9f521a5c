"""The generation: a number that every new supervisor raises before it scans for running agents.

A start that is under way when the supervisor dies has either locked and recorded its lease before
it read the generation, and then the next supervisor's scan sees it, or it reads the new number
and exits. This does not depend on timing.

The first number of a state directory is random: a directory that was deleted and created again must not
reuse a number that a pending start may still have. The same holds for a lock file whose number was
overwritten.

A supervisor checks whether it still owns its state directory, which may be deleted or taken over.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

from argosy.engine.process.lease import open_lease, try_lock_within
from argosy.engine.process.os_process import read_small_file

if TYPE_CHECKING:
    from argosy.engine.state.state_dir import StateDir


_DIGITS = 20
_FIRST_BYTES = 6
_MAX_GENERATION = 2**63  # a lease stores it in 64 bits


def read_generation(path: str | os.PathLike[str]) -> int:
    """Return the generation in the supervisor's lock file, 0 if there is none."""
    try:
        return _parse_generation(read_small_file(path)) or 0
    except FileNotFoundError:
        return 0


def _parse_generation(data: bytes) -> int | None:
    """Return the number at the start of a lock file, None if there is none that can be raised."""
    digits = data[:_DIGITS]
    number = int(digits) if digits.isdigit() else _MAX_GENERATION
    return number if number < _MAX_GENERATION else None


def acquire_lock(path: str | os.PathLike[str], timeout_s: float) -> int | None:
    """Return a descriptor that holds the supervisor's lock, or None if another process holds it."""
    while True:
        descriptor = open_lease(path)
        if try_lock_within(descriptor, timeout_s):
            if is_same_file(path, descriptor):
                return descriptor
            os.close(descriptor)  # it was removed meanwhile
            continue
        os.close(descriptor)
        return None


def is_same_file(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Return whether `path` refers to the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def write_generation(descriptor: int, number: int) -> None:
    """Write the number into the held lock file.

    The width is fixed and it is one write, so a reader sees the old number or the new one.
    """
    os.pwrite(descriptor, b"%0*d" % (_DIGITS, number), 0)


def raise_generation(descriptor: int) -> int:
    """Raise the number in the held lock file by one and return it."""
    before = _parse_generation(os.pread(descriptor, _DIGITS, 0))
    number = int.from_bytes(os.urandom(_FIRST_BYTES)) + 1 if before is None else before + 1
    write_generation(descriptor, number)
    return number


class Ownership(Enum):
    """The result of a check."""

    HELD = "held"
    RECREATED = "recreated"  # the directory was deleted; it and the lock were created again
    LOST = "lost"  # another supervisor has it


class StateDirOwnership:
    """The hold of one supervisor on its state directory, by the lock file that it took at its start."""

    def __init__(self, state_dir: StateDir, generation: int) -> None:
        self._state_dir = state_dir
        self._generation = generation
        self._lock_stat = os.stat(state_dir.supervisor_lock)
        self._new_lock_fd: int | None = None

    def check(self) -> Ownership:
        """Check the lock file, and take the lock again if the file is gone.

        Raises OSError, MissingError: the directory cannot be created.
        """
        try:
            is_same_file = os.path.samestat(os.stat(self._state_dir.supervisor_lock), self._lock_stat)
            return Ownership.HELD if is_same_file else Ownership.LOST
        except FileNotFoundError:
            return self._recreate()

    def _recreate(self) -> Ownership:
        self._state_dir.create()
        lock_fd = acquire_lock(self._state_dir.supervisor_lock, 0.0)
        if lock_fd is None:
            return Ownership.LOST
        self.close()
        self._new_lock_fd = lock_fd
        self._lock_stat = os.fstat(lock_fd)
        write_generation(lock_fd, self._generation)
        return Ownership.RECREATED

    def close(self) -> None:
        """Release a lock that was taken again."""
        if self._new_lock_fd is not None:
            os.close(self._new_lock_fd)
            self._new_lock_fd = None
