"""A run: files changed together, each at once or not at all, and how they were before.

`.argosy/runs/RUN/` in the tree holds the originals and a manifest. All of it is on disk before the
first file is exchanged by a rename. What became of a file is told by its content alone (as it was,
as it was made, or something else), so a run that was killed at any point, or an undo of it, is
undone like any other.

    originals -> manifest -> new files beside the old -> rename each -> manifest `applied`
    undo: originals beside the files -> rename each back -> manifest `undone`
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from argosy.fault import Fault, InputError, RefusedError
from argosy.refit.rewrite.exchange import (
    ODD,
    Exchange,
    Kept,
    digest,
    digest_of,
    exchange,
    flush,
    remove_temporary,
    write,
)

FOLDER = ".argosy"
_RUNS = os.path.join(FOLDER, "runs")
_MANIFEST = "manifest.json"
_SINCE = {"": "it has gone since", ODD: "it is no plain file any more"}


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
        self.standing: set[str] = set()  # files that stand rewritten, by what this run has done

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
                self._settle()
                files = [self._new(entry, contents[entry.path][1]) for entry in self.files]
                kept += exchange(self.root, self.name, files, is_whole=True)
            gone = {item.path for item in kept}
            self.files = tuple(entry for entry in self.files if entry.path not in gone)
            self.standing = {entry.path for entry in self.files}
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

        contents: the new content of each. Returns the files that somebody else has changed meanwhile; which
        of them stand rewritten beside that change, `standing` tells.
        """
        back = [entry for entry in self.files if entry.path not in chosen]
        kept = _restore(self.root, self.folder, self.name, back)
        self.standing -= {entry.path for entry in back} - {item.path for item in kept}
        files = [
            self._new(entry, contents[entry.path])
            for entry in self.files
            if entry.path in chosen and entry.path not in self.standing
        ]
        refused = exchange(self.root, self.name, files)
        self.standing |= {file.path for file in files} - {item.path for item in refused}
        return kept + refused

    def settle(self) -> None:
        """Take only the files that stand rewritten as the run's; the others are as they were."""
        self.files = tuple(entry for entry in self.files if entry.path in self.standing)

    def close(self) -> None:
        """Write that the run is done; a run of no file leaves nothing."""
        if self.files:
            _write_down(self.folder, self.manifest("applied"))
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
            write(ignored, b"*\n", 0o644)

    def _settle(self) -> None:
        """See that the originals, and what tells of them, are on the disk."""
        folder = os.path.join(self.folder, "originals")
        _flush([*(os.path.join(self.folder, entry.original) for entry in self.files), folder])
        _write_down(self.folder, self.manifest("applying"))
        _flush([os.path.dirname(self.folder)])

    @staticmethod
    def _new(entry: Entry, content: bytes) -> Exchange:
        return Exchange(entry.path, entry.before, content, entry.mode)

    def _unfit(self, path: str, before: bytes) -> str:
        try:
            told = os.lstat(os.path.join(self.root, path))
        except OSError as error:
            return f"it cannot be read any more: {(error.strerror or '').lower()}"
        if not stat.S_ISREG(told.st_mode):
            return "it is no plain file"
        if told.st_nlink > 1:
            return f"it has {told.st_nlink} names (hard links), and only one of them would change"
        return "" if digest_of(self.root, path) == digest(before) else "it changed while it was being read"

    def _keep_original(self, number: int, path: str, before: bytes, after: bytes) -> Entry:
        told = os.lstat(os.path.join(self.root, path))
        name = f"originals/{number:05}"
        write(os.path.join(self.folder, name), before, 0o600)
        mode = stat.S_IMODE(told.st_mode)
        return Entry(path, name, digest(before), digest(after), mode, told.st_mtime_ns)

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
                remove_temporary(root, name, entry.path)


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
        _write_down(folder, Manifest(run.run, "undone", run.files))
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
    kept: list[Kept] = []
    files: list[Exchange] = []
    for entry in entries:
        remove_temporary(root, run, entry.path)
        found = digest_of(root, entry.path)
        if found == entry.before:
            continue
        if found != entry.after:
            kept.append(Kept(entry.path, _SINCE.get(found, "it has changed since")))
            continue
        with open(os.path.join(folder, entry.original), "rb") as file:
            original = file.read()
        if digest(original) != entry.before:
            kept.append(Kept(entry.path, f"its original in `{folder}` is damaged"))
        else:
            files.append(Exchange(entry.path, entry.after, original, entry.mode, entry.mtime_ns))
    return kept + exchange(root, run, files)


def _write_down(folder: str, manifest: Manifest) -> None:
    """Put a manifest in the place of the one before, so that a reader never sees a part of one."""
    path = os.path.join(folder, _MANIFEST)
    try:
        write(f"{path}.new", msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n", 0o644)
        _flush([f"{path}.new"])
        os.replace(f"{path}.new", path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(f"{path}.new")
        raise
    _flush([folder])


def _flush(paths: Sequence[str]) -> None:
    """Wait until all of it is on the disk. Raises OSError: some of it could not be written."""
    for error in flush(paths).values():
        raise error
