"""Brings by rsync over ssh what differs of a tree; what came in part is gone on with."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

from argosy.engine.changeover import INCOMING, PARTIAL, SCRATCH
from argosy.engine.remote import refusal, run_there
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.remote import Target
    from argosy.engine.version import Version

_FILE_ERROR: Final = 11
_SILENCE_S: Final = 30  # rsync itself gives up then, at both ends


def bring(root: Path, version: Version, target: Target) -> None:
    """Bring each file of the version that the tree at the target does not have, to beside it.

    Raises RefusedError: it cannot be reached, or refuses, or the tree at `root` is no more the version.
    """
    _rsync(root, version, target, f"--partial-dir={PARTIAL}")
    if different := _rsync(root, version, target, "--dry-run", "--out-format=%i %n"):
        message = f"the tree changed while it was brought to `{target.machine}`: {different[0]}"
        raise RefusedError(Fault(target.machine, "not-the-same", message, "`argosy sync` again"))


def _rsync(root: Path, version: Version, target: Target, *options: str) -> list[str]:
    # By content: two edits within a second of a file's time may have one size.
    words = ["rsync", "-rlpt", "--checksum", "--omit-dir-times", "--from0", "--files-from=-", *options]
    words += [
        "--compare-dest=../../..",
        f"--temp-dir={target.folder}/{SCRATCH}",
        f"--timeout={_SILENCE_S}",
        "-e",
        shlex.join(target.ssh),
    ]
    words += [f"{root}/", f"{target.host}:{target.folder}/{INCOMING}/"]
    names = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in version.files)
    done = subprocess.run(words, input=names, capture_output=True, check=False)
    if done.returncode == _FILE_ERROR and (errors := _disk_errors(root, version, target)):
        raise refusal(target, errors)
    if done.returncode:
        raise refusal(target, done.stderr)
    told = done.stdout.decode(errors="replace").splitlines()
    # Folders are told for their times; of files only what would be transferred or changed in kind.
    return [line for line in told if not line.startswith((".", "cd"))]


def _disk_errors(root: Path, version: Version, target: Target) -> bytes:
    """Return what to say when the disk there has no room, else nothing: what rsync said there may be lost."""
    said = run_there(target, f"df -Pk {shlex.quote(target.folder)}").decode(errors="replace")
    found = re.search(r"(\d+)\s+\d+%", said)
    free = 1024 * int(found[1]) if found else 0
    largest = max((os.lstat(root / path).st_size for path in version.files), default=0)
    if free > largest:
        return b""
    return f"No space left on device: {free} bytes are free, a file has {largest}".encode()
