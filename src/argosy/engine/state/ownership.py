"""Whether this supervisor still rules its folder, which somebody may delete under it, or take over."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

from argosy.engine.state.generation import acquire_lock, write_generation

if TYPE_CHECKING:
    from argosy.engine.state.state_dir import StateDir


class Ownership(Enum):
    """What a look found."""

    HELD = "held"
    RECREATED = "recreated"  # the lock was gone with its folder, and both are made anew
    LOST = "lost"  # another supervisor has it


class StateDirOwnership:
    """The hold of one supervisor on its folder: the lock file that was there when it began."""

    def __init__(self, state_dir: StateDir, generation: int) -> None:
        self._state_dir = state_dir
        self._generation = generation
        self._lock_stat = os.stat(state_dir.supervisor_lock)
        self._new_lock_fd: int | None = None

    def check(self) -> Ownership:
        """Find out, and take the lock again where there is none.

        Raises OSError, MissingError: the folder cannot be made.
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
        """Let go of a lock that was taken again."""
        if self._new_lock_fd is not None:
            os.close(self._new_lock_fd)
            self._new_lock_fd = None
