"""Whether this supervisor still owns its state directory, which may be deleted or taken over."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

from argosy.engine.state.generation import acquire_lock, write_generation

if TYPE_CHECKING:
    from argosy.engine.state.state_dir import StateDir


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
