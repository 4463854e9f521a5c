"""Brings a tree to another machine, and takes it back there.

A carrier, rsync or git, brings what differs beside the tree (`changeover` says where), so that a transfer
that broke off leaves the tree as it was, and the next one goes on.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from argosy.engine.deploy import git_transport, rsync_transport
from argosy.engine.deploy.tree_swap import (
    discard_incoming,
    discard_previous,
    prepare_target,
    roll_back,
    swap_tree,
)
from argosy.fault import Fault, MissingError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.deploy.ssh_target import SshTarget
    from argosy.engine.deploy.tree_version import TreeVersion

TRANSPORTS: Final = {
    "rsync": rsync_transport.transfer,
    "git": git_transport.transfer,
}  # in the order of preference


class Deployment(NamedTuple):
    """What was there before, None where that is not known, and what is there now.

    carrier: `rsync` or `git`; empty where nothing had to be brought.
    """

    before: TreeVersion | None
    after: TreeVersion
    transport: str = ""

    @property
    def is_new(self) -> bool:
        """Whether anything had to be brought."""
        return self.before is None or self.before.tree != self.after.tree


def deploy(root: Path, version: TreeVersion, target: SshTarget, transport_name: str = "") -> Deployment:
    """Make the tree at the target the one at `root`. by: the carrier; empty for the first that both have.

    Raises MissingError: this machine has no carrier; RefusedError: the target cannot be reached, or refuses.
    """
    local_transports = [name for name in TRANSPORTS if transport_name in ("", name) and shutil.which(name)]
    if not local_transports:
        names = transport_name or " nor ".join(TRANSPORTS)
        hint = f"install it (Debian: {transport_name or 'rsync'}), there too"
        raise MissingError(
            Fault("sync", f"no-{transport_name or 'rsync'}", f"`{names}` is not installed here", hint)
        )
    before, tools = prepare_target(target, version)
    if before is not None and before.tree == version.tree:
        return Deployment(before, version)
    transport = next((name for name in local_transports if name in tools), "")
    if not transport:
        message = f"`{target.machine}` ({target.host}): {' and '.join(local_transports)} not installed there"
        hint = f"install it there (Debian: {local_transports[0]})"
        raise RefusedError(Fault(target.machine, f"no-{local_transports[0]}-there", message, hint))
    try:
        TRANSPORTS[transport](root, version, target)
    except RefusedError as error:
        if error.faults[0].code == "disk-full":
            discard_incoming(target)
        raise
    swap_tree(target, version, set(before.files).difference(version.files) if before else ())
    return Deployment(before, version, transport)


def rollback(target: SshTarget) -> TreeVersion | None:
    """Make the tree at the target what it was before the last shipment; it stays where that is settled.

    Returns the version that is there then, None where none is noted.
    Raises RefusedError: it cannot be reached, or refuses.
    """
    return roll_back(target)


def commit(target: SshTarget) -> None:
    """Keep the tree that is at the target: what was there before it goes.

    Raises RefusedError: it cannot be reached, or refuses.
    """
    discard_previous(target)
