"""Runs: sets of files that are rewritten together and can be undone.

`.argosy/runs/RUN/` in the tree has the originals and a manifest. Both are on disk before the first file is
replaced by a rename. The state of a file is determined by its content alone (original, rewritten, or changed
by others), so a run or an undo that was killed at any point is undone like any other.

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

from argosy.atomic_file import write_atomic
from argosy.fault import Fault, InputError, RefusedError
from argosy.refit.transaction.atomic_replace import (
    NOT_REGULAR,
    Conflict,
    FileReplacement,
    digest_bytes,
    digest_file,
    fsync_all,
    remove_temporary,
    replace_files,
    write_file,
)

RUNS_ROOT = ".argosy"
_RUNS_DIR = os.path.join(RUNS_ROOT, "runs")
_MANIFEST = "manifest.json"
_CHANGED_REASONS = {"": "it no longer exists", NOT_REGULAR: "it is no longer a regular file"}


class TransactionEntry(msgspec.Struct, frozen=True):
    """One file of a run. before, after: SHA-256 of its content; mode, mtime_ns: before the run."""

    path: str
    original: str
    before: str
    after: str
    mode: int
    mtime_ns: int


class TransactionManifest(msgspec.Struct, frozen=True):
    """The manifest of a run. state: a run that was killed stays `applying`."""

    run: str
    state: Literal["applying", "applied", "undone"]
    files: tuple[TransactionEntry, ...]


def _new_run_name(root: str) -> str:
    """Return a name that sorts after those of all earlier runs, even when the clock was set back."""
    now_s = time.time()
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_s))}-{int(now_s % 1 * 1e6):06}"
    earlier = list_runs(root)
    last = earlier[-1].run if earlier else ""
    return name if name > last else f"{last}+"


class Transaction:
    """A new run in a tree. Only one at a time: callers hold `lock_tree`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.name = _new_run_name(root)
        self.directory = os.path.join(root, _RUNS_DIR, self.name)
        self.files: tuple[TransactionEntry, ...] = ()
        self.applied: set[str] = set()  # files that are now rewritten by this run

    def apply(self, contents: Mapping[str, tuple[bytes, bytes]]) -> list[Conflict]:
        """Rewrite files; return those that were not changed.

        contents: by path relative to the root, the content that was read and the new content. A run that
        changes nothing or is interrupted is removed.
        Raises RefusedError: the originals cannot be saved, for example on a full disk; no file was changed.
        """
        conflicts = []
        prepared: list[TransactionEntry] = []
        try:
            self._make_directory()
            for number, (path, (before, after)) in enumerate(contents.items()):
                reason = self._conflict_reason(path, before)
                if reason:
                    conflicts.append(Conflict(path, reason))
                else:
                    prepared.append(self._save_original(number, path, before, after))
            self.files = tuple(prepared)
            if self.files:
                self._persist_originals()
                files = [self._replacement(entry, contents[entry.path][1]) for entry in self.files]
                conflicts += replace_files(self.root, self.name, files, all_or_nothing=True)
            conflicting = {item.path for item in conflicts}
            self.files = tuple(entry for entry in self.files if entry.path not in conflicting)
            self.applied = {entry.path for entry in self.files}
            self.commit()
        except OSError as error:
            if self.rollback():
                raise
            raise RefusedError(_not_writable(self.root, error)) from error
        except BaseException:
            self.rollback()
            raise
        return conflicts

    def select_files(self, selected: Collection[str], contents: Mapping[str, bytes]) -> list[Conflict]:
        """Make only the files of `selected` rewritten, and restore the run's other ones.

        contents: the new content of each. Returns the files that others have changed meanwhile; `applied`
        then has the files that are rewritten.
        """
        restored = [entry for entry in self.files if entry.path not in selected]
        conflicts = _restore_originals(self.root, self.directory, self.name, restored)
        self.applied -= {entry.path for entry in restored} - {item.path for item in conflicts}
        files = [
            self._replacement(entry, contents[entry.path])
            for entry in self.files
            if entry.path in selected and entry.path not in self.applied
        ]
        more_conflicts = replace_files(self.root, self.name, files)
        self.applied |= {file.path for file in files} - {item.path for item in more_conflicts}
        return conflicts + more_conflicts

    def keep_applied(self) -> None:
        """Drop the files from the run that are not rewritten now."""
        self.files = tuple(entry for entry in self.files if entry.path in self.applied)

    def commit(self) -> None:
        """Write the manifest of the finished run; a run without files is removed."""
        if self.files:
            _write_manifest(self.directory, self.manifest_in_state("applied"))
        else:
            self._remove_directory()

    def manifest_in_state(self, state: Literal["applying", "applied", "undone"]) -> TransactionManifest:
        """Return the manifest of the run in a state."""
        return TransactionManifest(self.name, state, self.files)

    def _make_directory(self) -> None:
        _remove_stale_runs(self.root)
        os.makedirs(os.path.join(self.directory, "originals"))
        ignored = os.path.join(self.root, RUNS_ROOT, ".gitignore")
        if not os.path.exists(ignored):
            write_file(ignored, b"*\n", 0o644)

    def _persist_originals(self) -> None:
        """Sync the originals and the manifest to disk."""
        directory = os.path.join(self.directory, "originals")
        _require_fsync([*(os.path.join(self.directory, entry.original) for entry in self.files), directory])
        _write_manifest(self.directory, self.manifest_in_state("applying"))
        _require_fsync([os.path.dirname(self.directory)])

    @staticmethod
    def _replacement(entry: TransactionEntry, content: bytes) -> FileReplacement:
        return FileReplacement(entry.path, entry.before, content, entry.mode)

    def _conflict_reason(self, path: str, before: bytes) -> str:
        try:
            status = os.lstat(os.path.join(self.root, path))
        except OSError as error:
            return f"it can no longer be read: {(error.strerror or '').lower()}"
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        if status.st_nlink > 1:
            return f"it has {status.st_nlink} names (hard links), and only one of them would change"
        return (
            ""
            if digest_file(self.root, path) == digest_bytes(before)
            else "it changed while it was being read"
        )

    def _save_original(self, number: int, path: str, before: bytes, after: bytes) -> TransactionEntry:
        status = os.lstat(os.path.join(self.root, path))
        name = f"originals/{number:05}"
        write_file(os.path.join(self.directory, name), before, 0o600)
        mode = stat.S_IMODE(status.st_mode)
        return TransactionEntry(
            path, name, digest_bytes(before), digest_bytes(after), mode, status.st_mtime_ns
        )

    def rollback(self) -> list[Conflict]:
        """Restore all files and remove the run; return the files that could not be restored."""
        conflicts = _restore_originals(self.root, self.directory, self.name, self.files)
        if not conflicts:
            self._remove_directory()
        return conflicts

    def _remove_directory(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        runs = os.path.dirname(self.directory)
        with contextlib.suppress(OSError):
            os.rmdir(runs)
            if set(os.listdir(os.path.dirname(runs))) <= {".gitignore", "lock"}:
                shutil.rmtree(os.path.dirname(runs))


def _remove_stale_runs(root: str) -> None:
    """Remove files of killed runs that no undo needs: runs without a manifest, and temporary files."""
    directory = os.path.join(root, _RUNS_DIR)
    started = {run.run: run for run in list_runs(root)}
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if name not in started:
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
        elif started[name].state == "applying":
            for entry in started[name].files:
                remove_temporary(root, name, entry.path)


@contextlib.contextmanager
def lock_tree(root: str) -> Iterator[None]:
    """Hold the lock of a tree during the block. Raises RefusedError: another process holds it."""
    directory = os.path.join(root, RUNS_ROOT)
    existed = os.path.isdir(directory)
    path = os.path.join(directory, "lock")
    try:
        os.makedirs(directory, exist_ok=True)
        lock_file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        if not existed:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        raise RefusedError(_not_writable(root, error)) from error
    with lock_file as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = "another refit is running in this tree"
            raise RefusedError(Fault(root, "busy", message, "wait until it ends")) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)
                if not existed:
                    os.rmdir(directory)


def _not_writable(root: str, error: OSError) -> Fault:
    reason = (error.strerror or str(error)).lower()
    message = f"the originals cannot be saved in `{RUNS_ROOT}`: {reason}; no file was changed"
    return Fault(root, "unwritable", message, "free some space there, or make it writable")


def list_runs(root: str) -> list[TransactionManifest]:
    """Return the runs of a tree, oldest first; a run without a readable manifest changed nothing."""
    directory = os.path.join(root, _RUNS_DIR)
    found = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        try:
            with open(os.path.join(directory, name, _MANIFEST), "rb") as file:
                found.append(msgspec.json.decode(file.read(), type=TransactionManifest))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def undo_run(root: str, run_name: str | None) -> tuple[TransactionManifest, list[Conflict]]:
    """Restore the files of a run with their modes and times; return those that were not restored.

    run_name: None for the newest run that has not been undone.
    Raises InputError: there is no such run.
    """
    runs = list_runs(root)
    open_runs = [run for run in runs if run.state != "undone"]
    found = [run for run in runs if run.run == run_name] if run_name else open_runs[-1:]
    if not found:
        raise InputError(_unknown_run(root, run_name, runs))
    (run,) = found
    directory = os.path.join(root, _RUNS_DIR, run.run)
    conflicts = _restore_originals(root, directory, run.run, run.files)
    if not conflicts:
        _write_manifest(directory, TransactionManifest(run.run, "undone", run.files))
    return run, conflicts


def _unknown_run(root: str, run_name: str | None, runs: list[TransactionManifest]) -> Fault:
    listed = ", ".join(f"`{run.run}`" for run in runs[-5:])
    if run_name:
        hint = f"there are {listed}" if runs else "there are no runs in this tree"
        return Fault("--undo", "unknown-run", f"there is no run `{run_name}` in `{root}`", hint)
    hint = f"`--undo RUN` undoes an earlier run again: {listed}" if runs else ""
    return Fault("--undo", "no-run", f"there is no run to undo in `{root}`", hint)


def _restore_originals(
    root: str, directory: str, run: str, entries: Sequence[TransactionEntry]
) -> list[Conflict]:
    """Restore the originals of files that still have the content of the run."""
    conflicts: list[Conflict] = []
    files: list[FileReplacement] = []
    for entry in entries:
        remove_temporary(root, run, entry.path)
        found = digest_file(root, entry.path)
        if found == entry.before:
            continue
        if found != entry.after:
            conflicts.append(Conflict(entry.path, _CHANGED_REASONS.get(found, "it has changed since")))
            continue
        with open(os.path.join(directory, entry.original), "rb") as file:
            original = file.read()
        if digest_bytes(original) != entry.before:
            conflicts.append(Conflict(entry.path, f"its original in `{directory}` is damaged"))
        else:
            files.append(FileReplacement(entry.path, entry.after, original, entry.mode, entry.mtime_ns))
    return conflicts + replace_files(root, run, files)


def _write_manifest(directory: str, manifest: TransactionManifest) -> None:
    """Replace the manifest atomically."""
    path = os.path.join(directory, _MANIFEST)
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    write_atomic(path, data, mode=0o644, is_synced=True, temp_path=f"{path}.new")
    _require_fsync([directory])


def _require_fsync(paths: Sequence[str]) -> None:
    """Sync files and folders to disk. Raises OSError: one of them cannot be synced."""
    for error in fsync_all(paths).values():
        raise error
