"""Deploys a tree to another machine.

A transport, rsync or git, transfers changed files to a directory beside the tree (see `tree_swap`), so that
an interrupted transfer leaves the tree unchanged, and the next one resumes.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from argosy.engine.deploy import git_transport, rsync_transport
from argosy.engine.deploy.tree_swap import discard_incoming, prepare_target, swap_tree
from argosy.fault import Fault, MissingError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.deploy.ssh_target import SshTarget
    from argosy.engine.state.tree_version import TreeVersion

TRANSPORTS: Final = {
    "rsync": rsync_transport.transfer,
    "git": git_transport.transfer,
}  # in the order of preference


class Deployment(NamedTuple):
    """The version at the target before, None if unknown, and after.

    transport: `rsync` or `git`; empty if nothing had to be transferred.
    """

    before: TreeVersion | None
    after: TreeVersion
    transport: str = ""

    @property
    def is_new(self) -> bool:
        """Whether anything had to be transferred."""
        return self.before is None or self.before.tree != self.after.tree


def deploy(root: Path, version: TreeVersion, target: SshTarget, transport_name: str = "") -> Deployment:
    """Make the tree at the target equal to the one at `root`.

    transport_name: empty for the first transport that both machines have.
    Raises MissingError: this machine has no transport; RefusedError: the target is unreachable or refuses.
    """
    local_transports = [name for name in TRANSPORTS if transport_name in ("", name) and shutil.which(name)]
    if not local_transports:
        names = transport_name or " nor ".join(TRANSPORTS)
        hint = f"install it here and there (Debian: {transport_name or 'rsync'})"
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
