"""Quiet windows: times in which nothing is raised about some agents, because somebody works on them.

What the engine does for an order (an apply, a restart) opens a window of its own and closes it; a person
opens one for a while. A window that nobody closes, because the supervisor was killed over it, ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

MOST_S: Final = 900.0  # of a window of the engine; an apply may take its 300 s, and be followed by another


class Window(msgspec.Struct, frozen=True):
    """One window. agents: whom it covers, None for all; until_s: when it ends by itself, epoch seconds.

    by: `argosy` for what the engine does, else who asked for it.
    """

    key: str
    agents: frozenset[str] | None
    until_s: float
    by: str = "argosy"

    def covers(self, agent: str) -> bool:
        """Return whether nothing is to be raised about an agent."""
        return self.agents is None or agent in self.agents


class Quiet:
    """The windows of one machine."""

    def __init__(self) -> None:
        self._open: list[Window] = []

    def open(self, window: Window) -> None:
        """Open a window; one of a person takes the place of that person's earlier one of the same agents."""
        if window.by != "argosy":
            self.close(window.key)
        self._open.append(window)

    def close(self, key: str) -> bool:
        """Close the oldest window of this key, and return whether there was one."""
        for window in self._open:
            if window.key == key:
                self._open.remove(window)
                return True
        return False

    def close_engine(self) -> None:
        """Close what a supervisor that is gone has left open."""
        self._open = [window for window in self._open if window.by != "argosy"]

    def windows(self, now_s: float) -> list[Window]:
        """Return what is open."""
        self._open = [window for window in self._open if window.until_s > now_s]
        return list(self._open)

    def covered(self, agents: Iterable[str], now_s: float) -> set[str]:
        """Return those about whom nothing is to be raised."""
        windows = self.windows(now_s)
        return {agent for agent in agents if any(window.covers(agent) for window in windows)}
