"""The ways to start one fleet that are measured against each other, a module a way."""

from __future__ import annotations

from typing import Protocol

from yard.stage import Stage

__all__ = ["Way"]


class Way(Protocol):
    """A way to start a fleet and to stop it.

    name: as it stands in the labels.
    """

    name: str

    def start(self, stage: Stage) -> None:
        """Start the fleet; return when the way says that it is up, at once where it has no such word.

        Raises MissingError: it is not installed. Raises RefusedError: it did not come up.
        """

    def stop(self, stage: Stage) -> None:
        """Stop the fleet and whatever started it; return when all of it has ended.

        Raises RefusedError: it did not end in order.
        """
