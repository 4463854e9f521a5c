"""The ways to start one fleet that are measured against each other, a module a way."""

from __future__ import annotations

from typing import Protocol

from testbed.fleet_environment import FleetEnvironment

__all__ = ["Launcher"]


class Launcher(Protocol):
    """A way to start a fleet and to stop it.

    name: as it stands in the labels.
    """

    name: str

    def prepare(self, fleet_env: FleetEnvironment) -> None:
        """Do what is there before the start and is no part of it.

        Raises MissingError: the way is not installed.
        """

    def start(self, fleet_env: FleetEnvironment) -> None:
        """Start the fleet; return when the way says that it is up, at once where it has no such word.

        Raises RefusedError: it did not come up.
        """

    def stop(self, fleet_env: FleetEnvironment) -> None:
        """Stop the fleet and whatever started it; return when all of it has ended.

        Raises RefusedError: it did not end in order.
        """
