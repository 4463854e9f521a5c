"""What an audit remembers of a tree between two runs."""

from __future__ import annotations

import contextlib
import os
import sys
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

import argosy
from argosy.refit.finding import Failure, Finding
from argosy.refit.sketch import KindSketch, RuleSketch
from argosy.refit.walk import Snapshot, is_there
from argosy.source.digest import blake2b
from argosy.source.text import Unparsed

T = TypeVar("T")

_MOST = 32  # trees that are remembered
# The clock of a file system ticks each 4 to 10 ms: what was written within the same tick looks unchanged.
_UNSETTLED_NS = 50_000_000


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """All that was found in a tree, before anybody selects from it.

    ignored: how many findings comments silence. refused: rules that could not be asked, and why, by code.
    """

    files: int
    unparsed: dict[str, Unparsed]
    findings: tuple[Finding, ...]
    ignored: int
    failures: tuple[Failure, ...]
    refused: dict[str, str]


class Catalogue(msgspec.Struct, frozen=True, array_like=True):
    """What is to be known of the rules before they are loaded.

    names: globs of the files that they read beside `*.py`. titles: by code. rules: those that can be asked.
    kinds: of the facts that these read of Python files.
    """

    names: tuple[str, ...]
    titles: dict[str, str]
    rules: tuple[RuleSketch, ...]
    kinds: tuple[KindSketch, ...]


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A tree as it was, and the verdict on it.

    twin: of the ledger that was kept with it. unsettled: files that may have changed since unnoticed. asked:
    what rules asked the disk for beside the files that are read, and the answers.
    """

    key: bytes
    twin: bytes
    catalogue: Catalogue
    snapshot: Snapshot
    unsettled: frozenset[str]
    asked: dict[str, bool]
    verdict: Verdict

    def holds(self, root: str, snapshot: Snapshot) -> bool:
        """Return whether nothing has changed that the verdict hangs on."""
        if self.snapshot != snapshot or self.unsettled:
            return False
        return all(is_there(root, path) is answer for path, answer in self.asked.items())


class Linked(msgspec.Struct, frozen=True, array_like=True):
    """What a rule said in the light of several files. asked: of the disk, and the answers."""

    findings: tuple[Finding, ...]
    asked: dict[str, bool] = {}


class Cache:
    """The memory of one tree, audited in one way.

    folder: where memories are kept, None to keep none. Anything that is wrong with one is as if there were
    none, and a folder that cannot be written costs time, not the audit.
    """

    def __init__(self, folder: Path | None, root: str, exclude: Iterable[str]) -> None:
        name = blake2b(repr((root, sorted(exclude))).encode(), digest_size=10).hexdigest()
        self._shelf = folder
        self._folder = None if folder is None else folder / name

    def load(self, name: str, type_: type[T]) -> T | None:
        """Return what was kept under a name, None when there is nothing of use."""
        if self._folder is None:
            return None
        try:
            return msgspec.msgpack.decode((self._folder / name).read_bytes(), type=type_)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def store(self, name: str, value: object) -> None:
        """Keep a value under a name."""
        if self._folder is None or self._shelf is None:
            return
        with contextlib.suppress(OSError):
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, mode=0o700)
                _forget_oldest(self._shelf)
            path = (
                self._folder / os.urandom(16).hex()
            )  # `tempfile` would take longer to load than this to write
            try:
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(msgspec.msgpack.encode(value))
                os.replace(path, self._folder / name)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def store_anew(self, name: str, value: object) -> str:
        """Keep a value under a new name that begins with `name`, and return that; earlier ones go."""
        made = f"{name}-{os.urandom(8).hex()}"
        self.store(made, value)
        if self._folder is not None:
            with contextlib.suppress(OSError):
                for path in self._folder.glob(f"{name}-*"):
                    if path.name != made:
                        path.unlink(missing_ok=True)
        return made


def default_folder() -> Path:
    """Return where audits keep what they remember."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "argosy" / "audit"


def code_key() -> bytes:
    """Return what tells one version of the rules, and of what they read with, from another.

    Taken from the stamps of the files: reading them all would take longer than looking at a tree.
    """
    made = blake2b(sys.version.encode(), digest_size=16)
    todo = [str(Path(argosy.__file__).parent / room) for room in ("fleet", "refit", "source")]
    while todo:
        with os.scandir(todo.pop()) as listing:
            for entry in sorted(listing, key=lambda entry: entry.name):
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    made.update(
                        f"{entry.path} {status.st_size} {status.st_mtime_ns} {status.st_ino}".encode()
                    )
                elif entry.is_dir() and entry.name != "__pycache__":
                    todo.append(entry.path)
    return made.digest()


def digest_of(parts: Iterable[bytes]) -> bytes:
    """Return what tells these parts, in this order, from any others."""
    held = list(parts)
    # The lengths first: so there is one copy and one pass, where a call for each part would cost more.
    made = blake2b(array("Q", [len(held), *map(len, held)]).tobytes(), digest_size=16)
    made.update(b"".join(held))
    return made.digest()


def find_unsettled(snapshot: Snapshot, taken_ns: int) -> frozenset[str]:
    """Return the files that were written so shortly before `taken_ns` that the next write may not show."""
    edge = taken_ns - _UNSETTLED_NS
    return frozenset(
        path for path, stamp in snapshot.stamps.items() if max(stamp.mtime_ns, stamp.ctime_ns) >= edge
    )


def _forget_oldest(shelf: Path) -> None:
    import shutil  # noqa: PLC0415 - once for each new tree

    kept = sorted(shelf.iterdir(), key=lambda item: item.stat().st_mtime, reverse=True)
    for folder in kept[_MOST:]:
        shutil.rmtree(folder, ignore_errors=True)
