"""Whether this supervisor still rules its folder, which somebody may delete under it, or take over."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

from argosy.engine.generation import hold, write_generation

if TYPE_CHECKING:
    from argosy.engine.folder import Folder


class Rule(Enum):
    """What a look found."""

    HELD = "held"
    RENEWED = "renewed"  # the lock was gone with its folder, and both are made anew
    LOST = "lost"  # another supervisor has it


class Reign:
    """The hold of one supervisor on its folder: the lock file that was there when it began."""

    def __init__(self, folder: Folder, generation: int) -> None:
        self._folder = folder
        self._generation = generation
        self._lock = os.stat(folder.lock)
        self._again: int | None = None

    def look(self) -> Rule:
        """Find out, and take the lock again where there is none.

        Raises OSError, MissingError: the folder cannot be made.
        """
        try:
            is_mine = os.path.samestat(os.stat(self._folder.lock), self._lock)
            return Rule.HELD if is_mine else Rule.LOST
        except FileNotFoundError:
            return self._renew()

    def _renew(self) -> Rule:
        self._folder.make()
        again = hold(self._folder.lock, 0.0)
        if again is None:
            return Rule.LOST
        self.close()
        self._again = again
        self._lock = os.fstat(again)
        write_generation(again, self._generation)
        return Rule.RENEWED

    def close(self) -> None:
        """Let go of a lock that was taken again."""
        if self._again is not None:
            os.close(self._again)
            self._again = None
