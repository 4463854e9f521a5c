"""A run: files changed together, each at once or not at all, and how they were before.

`.argosy/runs/RUN/` in the tree holds the originals and a manifest. All of it is on disk before the
first file is exchanged by a rename. What became of a file is told by its content alone (as it was,
as it was made, or something else), so a run that was killed at any point, or an undo of it, is
undone like any other.

    originals -> manifest -> rename each file -> manifest `applied`
    undo: rename each file back -> manifest `undone`
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from argosy.fault import Fault, InputError, RefusedError

FOLDER = ".argosy"
_RUNS = os.path.join(FOLDER, "runs")
_MANIFEST = "manifest.json"
# A pipe would be waited for without end, and what a link leads to is not what a rename exchanges.
_NO_FOLLOWING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ODD = "no plain file"
_SINCE = {"": "it has gone since", _ODD: "it is no plain file any more"}


class Entry(msgspec.Struct, frozen=True):
    """One file of a run. before, after: SHA-256 of its content; mode and mtime_ns as it was."""

    path: str
    original: str
    before: str
    after: str
    mode: int
    mtime_ns: int


class Manifest(msgspec.Struct, frozen=True):
    """A run. `applying` stays in a run that was killed."""

    run: str
    state: Literal["applying", "applied", "undone"]
    files: tuple[Entry, ...]


class Kept(msgspec.Struct, frozen=True, order=True):
    """A file that was left alone, and why."""

    path: str
    reason: str


def _new_name(root: str) -> str:
    """Return a name that sorts behind those of all earlier runs, whatever the clock did."""
    now_s = time.time()
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_s))}-{int(now_s % 1 * 1e6):06}"
    earlier = list_runs(root)
    last = earlier[-1].run if earlier else ""
    return name if name > last else f"{last}+"


class Run:
    """A run in a tree that is being made. Only one at a time: `open_run` holds the tree's lock."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.name = _new_name(root)
        self.folder = os.path.join(root, _RUNS, self.name)
        self.files: tuple[Entry, ...] = ()

    def apply(self, contents: Mapping[str, tuple[bytes, bytes]]) -> list[Kept]:
        """Exchange files for new ones; return those that were left alone.

        contents: by path relative to the root, what was read and what shall be there. Nothing of the
        run is left when it changes nothing, or when it is interrupted.
        Raises RefusedError: the originals cannot be kept, as on a full disk; no file was changed.
        """
        kept = []
        prepared: list[Entry] = []
        try:
            self._make_folder()
            for number, (path, (before, after)) in enumerate(contents.items()):
                reason = self._unfit(path, before)
                if reason:
                    kept.append(Kept(path, reason))
                else:
                    prepared.append(self._keep_original(number, path, before, after))
            self.files = tuple(prepared)
            if self.files:
                _sync_folder(os.path.join(self.folder, "originals"))
                _write(os.path.join(self.folder, _MANIFEST), _encoded(self.manifest("applying")), 0o644)
                _sync_folder(os.path.dirname(self.folder))
            for entry in self.files:
                after = contents[entry.path][1]
                if reason := _exchange(self.root, self.name, entry, entry.before, after, entry.mode, None):
                    kept.append(Kept(entry.path, reason))
            gone = {item.path for item in kept}
            self.files = tuple(entry for entry in self.files if entry.path not in gone)
            self.close()
        except OSError as error:
            if self.take_back():
                raise
            raise RefusedError(_no_room(self.root, error)) from error
        except BaseException:
            self.take_back()
            raise
        return kept

    def switch(self, chosen: Collection[str], contents: Mapping[str, bytes]) -> list[Kept]:
        """Have only the files of `chosen` rewritten, and the run's other ones as they were.

        contents: the new content of each. Returns the files that somebody else has changed meanwhile.
        """
        kept = _restore(self.root, self.folder, self.name, [e for e in self.files if e.path not in chosen])
        for entry in self.files:
            if entry.path in chosen and _digest_of(self.root, entry.path) != entry.after:
                content = contents[entry.path]
                reason = _exchange(self.root, self.name, entry, entry.before, content, entry.mode, None)
                kept += [Kept(entry.path, reason)] if reason else []
        return kept

    def keep(self, chosen: Collection[str]) -> None:
        """Take only the files of `chosen` as the run's; the others are as they were."""
        self.files = tuple(entry for entry in self.files if entry.path in chosen)

    def close(self) -> None:
        """Write that the run is done; a run of no file leaves nothing."""
        if self.files:
            _write(os.path.join(self.folder, _MANIFEST), _encoded(self.manifest("applied")), 0o644)
        else:
            self._remove()

    def manifest(self, state: Literal["applying", "applied", "undone"]) -> Manifest:
        """Return the run as it is written down."""
        return Manifest(self.name, state, self.files)

    def _make_folder(self) -> None:
        _sweep(self.root)
        os.makedirs(os.path.join(self.folder, "originals"))
        ignored = os.path.join(self.root, FOLDER, ".gitignore")
        if not os.path.exists(ignored):
            _write(ignored, b"*\n", 0o644)

    def _unfit(self, path: str, before: bytes) -> str:
        try:
            told = os.lstat(os.path.join(self.root, path))
        except OSError as error:
            return f"it cannot be read any more: {(error.strerror or '').lower()}"
        if not stat.S_ISREG(told.st_mode):
            return "it is no plain file"
        if told.st_nlink > 1:
            return f"it has {told.st_nlink} names (hard links), and only one of them would change"
        return "" if _digest_of(self.root, path) == _digest(before) else "it changed while it was being read"

    def _keep_original(self, number: int, path: str, before: bytes, after: bytes) -> Entry:
        told = os.lstat(os.path.join(self.root, path))
        name = f"originals/{number:05}"
        _write(os.path.join(self.folder, name), before, 0o600, is_renamed=False)
        mode = stat.S_IMODE(told.st_mode)
        return Entry(path, name, _digest(before), _digest(after), mode, told.st_mtime_ns)

    def take_back(self) -> list[Kept]:
        """Undo what was done so far, so that an interrupted run leaves nothing; return what could not be."""
        kept = _restore(self.root, self.folder, self.name, self.files)
        if not kept:
            self._remove()
        return kept

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        runs = os.path.dirname(self.folder)
        with contextlib.suppress(OSError):
            os.rmdir(runs)
            if set(os.listdir(os.path.dirname(runs))) <= {".gitignore", "lock"}:
                shutil.rmtree(os.path.dirname(runs))


def _sweep(root: str) -> None:
    """Remove what killed runs left that no undo needs: those that had not begun, and half-written files."""
    folder = os.path.join(root, _RUNS)
    begun = {run.run: run for run in list_runs(root)}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name not in begun:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        elif begun[name].state == "applying":
            for entry in begun[name].files:
                _remove_temporary(root, name, entry)


@contextlib.contextmanager
def locked(root: str) -> Iterator[None]:
    """Hold the tree for one refit. Raises RefusedError: another one is at work in it."""
    folder = os.path.join(root, FOLDER)
    was_there = os.path.isdir(folder)
    path = os.path.join(folder, "lock")
    try:
        os.makedirs(folder, exist_ok=True)
        held = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        if not was_there:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        raise RefusedError(_no_room(root, error)) from error
    with held as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = "another refit is at work in this tree"
            raise RefusedError(Fault(root, "busy", message, "wait for it to end")) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)
                if not was_there:
                    os.rmdir(folder)


def _no_room(root: str, error: OSError) -> Fault:
    why = (error.strerror or str(error)).lower()
    message = f"what a run keeps of the files cannot be written to `{FOLDER}`: {why}; no file was changed"
    return Fault(root, "not-written", message, "make room there, or let it be written")


def list_runs(root: str) -> list[Manifest]:
    """Return the runs of a tree, oldest first; one without a readable manifest has changed nothing."""
    folder = os.path.join(root, _RUNS)
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        try:
            with open(os.path.join(folder, name, _MANIFEST), "rb") as file:
                found.append(msgspec.json.decode(file.read(), type=Manifest))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def undo(root: str, chosen: str | None) -> tuple[Manifest, list[Kept]]:
    """Put the files of a run back, byte for byte, with their modes and times; return those left alone.

    chosen: the run's name; None for the newest that has not been undone.
    Raises InputError: there is no such run.
    """
    runs = list_runs(root)
    open_runs = [run for run in runs if run.state != "undone"]
    found = [run for run in runs if run.run == chosen] if chosen else open_runs[-1:]
    if not found:
        raise InputError(_no_run(root, chosen, runs))
    (run,) = found
    folder = os.path.join(root, _RUNS, run.run)
    kept = _restore(root, folder, run.run, run.files)
    if not kept:
        _write(os.path.join(folder, _MANIFEST), _encoded(Manifest(run.run, "undone", run.files)), 0o644)
    return run, kept


def _no_run(root: str, chosen: str | None, runs: list[Manifest]) -> Fault:
    listed = ", ".join(f"`{run.run}`" for run in runs[-5:])
    if chosen:
        hint = f"there are {listed}" if runs else "no run has changed anything here"
        return Fault("--undo", "unknown-run", f"there is no run `{chosen}` in `{root}`", hint)
    hint = f"`--undo RUN` undoes an earlier one again: {listed}" if runs else ""
    return Fault("--undo", "no-run", f"no run is left to undo in `{root}`", hint)


def _restore(root: str, folder: str, run: str, entries: Sequence[Entry]) -> list[Kept]:
    """Put originals back where the run's own content still stands."""
    kept = []
    for entry in entries:
        _remove_temporary(root, run, entry)
        found = _digest_of(root, entry.path)
        if found == entry.before:
            continue
        if found != entry.after:
            kept.append(Kept(entry.path, _SINCE.get(found, "it has changed since")))
            continue
        with open(os.path.join(folder, entry.original), "rb") as file:
            original = file.read()
        if _digest(original) != entry.before:
            kept.append(Kept(entry.path, f"its original in `{folder}` is damaged"))
        elif reason := _exchange(root, run, entry, entry.after, original, entry.mode, entry.mtime_ns):
            kept.append(Kept(entry.path, reason))
    return kept


def _exchange(
    root: str, run: str, entry: Entry, expected: str, content: bytes, mode: int, mtime_ns: int | None
) -> str:
    """Put `content` in the place of a file by one rename; return why not, if its content is another."""
    path = os.path.join(root, entry.path)
    temporary = _temporary(root, run, entry)
    try:
        _write(temporary, content, mode, is_renamed=False)
        _take_after(path, temporary)
        if mtime_ns is not None:
            os.utime(temporary, ns=(time.time_ns(), mtime_ns))
        # As late as can be: what somebody writes after this line and before the rename is lost.
        if _digest_of(root, entry.path) != expected:
            os.unlink(temporary)
            return "it changed while it was being rewritten"
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return f"it cannot be written: {(error.strerror or str(error)).lower()}"
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(path))
    return ""


def _take_after(path: str, temporary: str) -> None:
    """Give a new file the owner, mode and attributes of the one it stands in for, as far as one may."""
    told = os.stat(path)
    with contextlib.suppress(OSError):
        os.chown(temporary, told.st_uid, told.st_gid)
        os.chmod(temporary, stat.S_IMODE(told.st_mode))
    with contextlib.suppress(OSError, AttributeError):
        for name in os.listxattr(path):
            os.setxattr(temporary, name, os.getxattr(path, name))


def _temporary(root: str, run: str, entry: Entry) -> str:
    folder, name = os.path.split(os.path.join(root, entry.path))
    return os.path.join(folder, f".{name[:100]}.{run}.tmp")


def _remove_temporary(root: str, run: str, entry: Entry) -> None:
    with contextlib.suppress(OSError):
        os.unlink(_temporary(root, run, entry))


def _write(path: str, content: bytes, mode: int, *, is_renamed: bool = True) -> None:
    """Write a whole file and flush it; by a rename, so that a reader never sees a part."""
    target = f"{path}.new" if is_renamed else path
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if is_renamed:
            os.replace(target, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise
    if is_renamed:
        _sync_folder(os.path.dirname(path))


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_of(root: str, path: str) -> str:
    """Return the digest of a file, empty when it is not there; links and pipes are not followed or read."""
    try:
        handle = os.open(os.path.join(root, path), _NO_FOLLOWING)
    except OSError as error:
        return _ODD if error.errno == errno.ELOOP else ""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return _ODD
    with open(handle, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encoded(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
