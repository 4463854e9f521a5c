"""Brings a tree to another machine, and takes it back there.

A carrier, rsync or git, brings what differs beside the tree (`changeover` says where), so that a transfer
that broke off leaves the tree as it was, and the next one goes on.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from argosy.engine import gitcarrier, rsynccarrier
from argosy.engine.changeover import change, change_back, forget_previous, give_up, look
from argosy.fault import Fault, MissingError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.remote import Target
    from argosy.engine.version import Version

CARRIERS: Final = {"rsync": rsynccarrier.bring, "git": gitcarrier.bring}  # in the order of preference


class Shipment(NamedTuple):
    """What was there before, None where that is not known, and what is there now.

    carrier: `rsync` or `git`; empty where nothing had to be brought.
    """

    before: Version | None
    after: Version
    carrier: str = ""

    @property
    def is_new(self) -> bool:
        """Whether anything had to be brought."""
        return self.before is None or self.before.tree != self.after.tree


def ship(root: Path, version: Version, target: Target, by: str = "") -> Shipment:
    """Make the tree at the target the one at `root`. by: the carrier; empty for the first that both have.

    Raises MissingError: this machine has no carrier; RefusedError: the target cannot be reached, or refuses.
    """
    mine = [name for name in CARRIERS if by in ("", name) and shutil.which(name)]
    if not mine:
        names = by or " nor ".join(CARRIERS)
        hint = f"install it (Debian: {by or 'rsync'}), there too"
        raise MissingError(Fault("sync", f"no-{by or 'rsync'}", f"`{names}` is not installed here", hint))
    before, tools = look(target, version)
    if before is not None and before.tree == version.tree:
        return Shipment(before, version)
    carrier = next((name for name in mine if name in tools), "")
    if not carrier:
        message = f"`{target.machine}` ({target.host}): {' and '.join(mine)} not installed there"
        hint = f"install it there (Debian: {mine[0]})"
        raise RefusedError(Fault(target.machine, f"no-{mine[0]}-there", message, hint))
    try:
        CARRIERS[carrier](root, version, target)
    except RefusedError as error:
        if error.faults[0].code == "disk-full":
            give_up(target)
        raise
    change(target, version, set(before.files).difference(version.files) if before else ())
    return Shipment(before, version, carrier)


def take_back(target: Target) -> Version | None:
    """Make the tree at the target what it was before the last shipment; it stays where that is settled.

    Returns the version that is there then, None where none is noted.
    Raises RefusedError: it cannot be reached, or refuses.
    """
    return change_back(target)


def settle(target: Target) -> None:
    """Keep the tree that is at the target: what was there before it goes.

    Raises RefusedError: it cannot be reached, or refuses.
    """
    forget_previous(target)
