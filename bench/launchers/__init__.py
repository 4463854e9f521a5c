"""Launchers that start the same fleet, one module each; benches compare them."""

from __future__ import annotations

from typing import Protocol

from testbed.fleet_environment import FleetEnvironment

__all__ = ["Launcher"]


class Launcher(Protocol):
    """Starts and stops a fleet.

    name: its name in the labels.
    """

    name: str

    def prepare(self, fleet_env: FleetEnvironment) -> None:
        """Do the work before the start that is not measured.

        Raises MissingError: the launcher is not installed.
        """

    def start(self, fleet_env: FleetEnvironment) -> None:
        """Start the fleet; return when the launcher reports that it is up, or at once if it never does.

        Raises RefusedError: the fleet did not start.
        """

    def stop(self, fleet_env: FleetEnvironment) -> None:
        """Stop the fleet and the launcher's processes; return when all have exited.

        Raises RefusedError: the fleet did not stop in order.
        """
