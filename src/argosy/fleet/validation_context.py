"""A fleet that is being validated, as each check receives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from argosy.fleet.locations import TextPosition

if TYPE_CHECKING:
    from collections.abc import Collection

    from argosy.fleet.fleet_spec import Fleet
    from argosy.fleet.locations import FaultList


class ValidationContext(NamedTuple):
    """A fleet being validated.

    invalid_paths: paths whose value is already reported as invalid and is not checked again.
    declared_names: all names under `agents`, including those of invalid agents.
    """

    fleet: Fleet
    faults: FaultList
    positions: dict[str, TextPosition]
    invalid_paths: Collection[str]
    declared_names: Collection[str]

    def position_of(self, *paths: str) -> TextPosition:
        """Return the position of the first of `paths` that is in the file."""
        return next((self.positions[path] for path in paths if path in self.positions), TextPosition(1, 1))
