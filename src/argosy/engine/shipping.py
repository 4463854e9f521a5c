"""Brings a tree to another machine by rsync over ssh, and takes it back there.

What a file was before is put aside in the target's `.argosy/previous`, so that the step back needs nothing
but the target. The version is noted last: a transfer that broke off leaves the old note, and the next one
goes on.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from argosy.engine.version import NOTE, Version, decode_note
from argosy.fault import Fault, MissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_PREVIOUS: Final = ".argosy/previous"
_PUT_ASIDE: Final = (
    'for f; do [ -e "$f" ] || [ -L "$f" ] || continue; '
    f'mkdir -p "{_PREVIOUS}/$(dirname "$f")" && mv -f "$f" "{_PREVIOUS}/$f"; done'
)


class Target(NamedTuple):
    """A machine to bring the tree to. host: as ssh takes it; folder: of the tree there, absolute.

    ssh: the command and its options.
    """

    machine: str
    host: str
    folder: str
    ssh: Sequence[str] = ("ssh",)


class Shipment(NamedTuple):
    """What was there before, None where that is not known, and what is there now."""

    before: Version | None
    after: Version

    @property
    def is_new(self) -> bool:
        """Whether anything had to be brought."""
        return self.before is None or self.before.tree != self.after.tree


def ship(root: Path, version: Version, target: Target) -> Shipment:
    """Make the tree at the target the one at `root`.

    Raises MissingError: rsync is not installed; RefusedError: the target cannot be reached, or refuses.
    """
    if shutil.which("rsync") is None:
        message = "`rsync` is not installed here"
        raise MissingError(Fault("rsync", "no-rsync", message, "install it (Debian: rsync), there too"))
    before = _noted(target)
    if before is not None and before.tree == version.tree:
        return Shipment(before, version)
    _shell(
        target,
        f"mkdir -p {_q(target.folder)} && cd {_q(target.folder)}"
        f" && rm -rf {_PREVIOUS} && mkdir -p {_PREVIOUS}",
    )
    _rsync(root, version.files, target, "--backup", f"--backup-dir={_PREVIOUS}", "--delay-updates")
    gone = set(before.files).difference(version.files) if before else set()
    _each(target, _PUT_ASIDE, gone)
    if different := _rsync(root, version.files, target, "--dry-run", "--out-format=%i %n"):
        message = f"the tree of `{target.machine}` changed while it was brought: {different.splitlines()[0]}"
        raise RefusedError(Fault(target.machine, "not-the-same", message, "`argosy sync` again"))
    _note(target, version)
    return Shipment(before, version)


def take_back(target: Target, shipment: Shipment) -> None:
    """Make the tree at the target what it was before a shipment.

    Raises RefusedError: it cannot be reached, or refuses.
    """
    before = shipment.before
    added = set(shipment.after.files).difference(before.files) if before else set()
    _each(target, 'rm -f -- "$@"', added)
    _shell(target, f"cd {_q(target.folder)} && cp -a {_PREVIOUS}/. .")
    if before is not None:
        _note(target, before)
    else:
        _shell(target, f"rm -f {_q(target.folder)}/{NOTE}")


def _noted(target: Target) -> Version | None:
    note = f"{_q(target.folder)}/{NOTE}"
    return decode_note(_shell(target, f"if [ -f {note} ]; then cat {note}; fi"))


def _note(target: Target, version: Version) -> None:
    note = f"{_q(target.folder)}/{NOTE}"
    _shell(target, f"cat > {note}.new && mv -f {note}.new {note}", msgspec.json.encode(version))


def _each(target: Target, script: str, files: Iterable[str]) -> None:
    """Run a shell's lines at the target with files as arguments, in the tree's folder."""
    names = "\0".join(sorted(files)).encode(errors="surrogateescape")
    if names:
        _shell(target, f"cd {_q(target.folder)} && xargs -0 sh -c {_q(script)} sh", names + b"\0")


def _rsync(root: Path, files: Sequence[str], target: Target, *options: str) -> str:
    # By content: two edits within a second of a file's time may have one size.
    words = ["rsync", "-rlpt", "--checksum", "--omit-dir-times", "--from0", "--files-from=-", *options]
    words += ["-e", shlex.join(target.ssh), f"{root}/", f"{target.host}:{target.folder}/"]
    names = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in files)
    done = subprocess.run(words, input=names, capture_output=True, check=False)
    if done.returncode:
        raise _refused(target, done.stderr)
    told = done.stdout.decode(errors="replace").splitlines()
    # Folders are told for their times; of files only what would be transferred or changed in kind.
    return "\n".join(line for line in told if not line.startswith((".", "cd")))


def _shell(target: Target, line: str, data: bytes = b"") -> bytes:
    done = subprocess.run([*target.ssh, target.host, line], input=data, capture_output=True, check=False)
    if done.returncode:
        raise _refused(target, done.stderr)
    return done.stdout


def _refused(target: Target, errors: bytes) -> RefusedError:
    lines = errors.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
    message = f"`{target.machine}` ({target.host}:{target.folder}): {lines[0]}"
    hint = f"`{shlex.join([*target.ssh, target.host])}` has to work without a question; `--ssh` changes it"
    return RefusedError(Fault(target.machine, "not-shipped", message, hint))


def _q(text: str) -> str:
    return shlex.quote(text)
