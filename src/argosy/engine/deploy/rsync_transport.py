"""Brings by rsync over ssh what differs of a tree; what came in part is gone on with."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

from argosy.engine.deploy.ssh_target import remote_error, run_remote
from argosy.engine.deploy.tree_swap import INCOMING_DIR, PARTIAL_DIR, SCRATCH_DIR
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.deploy.ssh_target import SshTarget
    from argosy.engine.deploy.tree_version import TreeVersion

_RSYNC_FILE_IO_ERROR: Final = 11
_IO_TIMEOUT_S: Final = 30  # rsync itself gives up then, at both ends


def transfer(root: Path, version: TreeVersion, target: SshTarget) -> None:
    """Bring each file of the version that the tree at the target does not have, to beside it.

    Raises RefusedError: it cannot be reached, or refuses, or the tree at `root` is no more the version.
    """
    _rsync(root, version, target, f"--partial-dir={PARTIAL_DIR}")
    if different := _rsync(root, version, target, "--dry-run", "--out-format=%i %n"):
        message = f"the tree changed while it was brought to `{target.machine}`: {different[0]}"
        raise RefusedError(Fault(target.machine, "not-the-same", message, "`argosy sync` again"))


def _rsync(root: Path, version: TreeVersion, target: SshTarget, *options: str) -> list[str]:
    # By content: two edits within a second of a file's time may have one size.
    command = ["rsync", "-rlpt", "--checksum", "--omit-dir-times", "--from0", "--files-from=-", *options]
    command += [
        "--compare-dest=../../..",
        f"--temp-dir={target.directory}/{SCRATCH_DIR}",
        f"--timeout={_IO_TIMEOUT_S}",
        "-e",
        shlex.join(target.ssh),
    ]
    command += [f"{root}/", f"{target.host}:{target.directory}/{INCOMING_DIR}/"]
    names = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in version.files)
    done = subprocess.run(command, input=names, capture_output=True, check=False)
    if done.returncode == _RSYNC_FILE_IO_ERROR and (errors := _disk_full_message(root, version, target)):
        raise remote_error(target, errors)
    if done.returncode:
        raise remote_error(target, done.stderr)
    output = done.stdout.decode(errors="replace").splitlines()
    # Folders are told for their times; of files only what would be transferred or changed in kind.
    return [line for line in output if not line.startswith((".", "cd"))]


def _disk_full_message(root: Path, version: TreeVersion, target: SshTarget) -> bytes:
    """Return what to say when the disk there has no room, else nothing: what rsync said there may be lost."""
    output = run_remote(target, f"df -Pk {shlex.quote(target.directory)}").decode(errors="replace")
    found = re.search(r"(\d+)\s+\d+%", output)
    free = 1024 * int(found[1]) if found else 0
    largest = max((os.lstat(root / path).st_size for path in version.files), default=0)
    if free > largest:
        return b""
    return f"No space left on device: {free} bytes are free, a file has {largest}".encode()
