"""Transfers changed files with rsync over ssh; interrupted transfers are resumed."""

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
    from argosy.engine.state.tree_version import TreeVersion

_RSYNC_FILE_IO_ERROR: Final = 11
_IO_TIMEOUT_S: Final = 30  # rsync gives up then, at both ends


def transfer(root: Path, version: TreeVersion, target: SshTarget) -> None:
    """Transfer the files of the version that differ at the target to `INCOMING_DIR` there.

    Raises RefusedError: the target is unreachable or refuses, or the tree at `root` has changed.
    """
    _rsync(root, version, target, f"--partial-dir={PARTIAL_DIR}")
    if different := _rsync(root, version, target, "--dry-run", "--out-format=%i %n"):
        message = f"the tree changed while it was transferred to `{target.machine}`: {different[0]}"
        raise RefusedError(Fault(target.machine, "tree-changed", message, "run `argosy sync` again"))


def _rsync(root: Path, version: TreeVersion, target: SshTarget, *options: str) -> list[str]:
    # By content: two edits within one second may leave the same size and time.
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
    # Skip directories, listed for their times, and files whose content would not be transferred.
    return [line for line in output if not line.startswith((".", "cd"))]


def _disk_full_message(root: Path, version: TreeVersion, target: SshTarget) -> bytes:
    """Return an error message if the disk there is full, else nothing; rsync's own message may be lost."""
    output = run_remote(target, f"df -Pk {shlex.quote(target.directory)}").decode(errors="replace")
    found = re.search(r"(\d+)\s+\d+%", output)
    free = 1024 * int(found[1]) if found else 0
    largest = max((os.lstat(root / path).st_size for path in version.files), default=0)
    if free > largest:
        return b""
    return f"No space left on device: {free} bytes are free, a file has {largest}".encode()
