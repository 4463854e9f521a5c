"""The file of a store: made whole, opened, looked at for damage, and set aside where it is damaged.

SQLite finds some damage only when it comes upon it, and none inside a record. So the file is looked at when
it is opened and every second while it is in use (its kind, its inode, its head, its length), a small one is
checked as a whole when it is opened, and an error of SQLite or of a decoder that reads a record counts as
damage whenever it is met.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import struct
import time
from pathlib import Path
from typing import Final

import msgspec

from argosy.engine.state.damaged_stores import DAMAGED_INFIX, find_damaged_stores
from argosy.fault import ArgosyError, Fault
from argosy.hub.store.block_codec import DamagedBlockError
from argosy.hub.store.tables import create_statements

STORE_VERSION: Final = "2"
_MAX_WAL_BYTES: Final = 8 << 20  # that stay when the log was once longer
_MIN_FREE_BYTES: Final = 1 << 20
_FULL_CHECK_BYTES: Final = 32 << 20  # of a file that is checked as a whole, in about a tenth of a second
_MAX_SET_ASIDE: Final = 5  # a folder in place of a file is left to people
_SUFFIXES: Final = ("", "-wal", "-shm")
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_WAL_MAGICS: Final = (0x377F0682, 0x377F0683)
_DAMAGE_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)

# What code that reads records may raise where a record is not what a hub wrote.
DECODE_ERRORS: Final = (
    sqlite3.DatabaseError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
)


class StoreError(ArgosyError):
    """The store cannot be opened, or is of another version."""


class StoreNoRoomError(StoreError):
    """The store cannot be opened because its disk is full."""


class StoreDamagedError(StoreError):
    """The file is not what a hub wrote."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(Fault(str(path), "store-damaged", f"the store is damaged: {reason}"))
        self.reason = reason


def is_damage(error: BaseException) -> bool:
    """Return whether an error of code that reads or writes a store says that the store is damaged."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return code & 0xFF in _DAMAGE_CODES or "Could not decode to UTF-8" in str(error)
    return isinstance(error, StoreDamagedError | DamagedBlockError | msgspec.DecodeError)


def damage_reason(error: BaseException) -> str:
    """Return what an error says of the damage."""
    return error.reason if isinstance(error, StoreDamagedError) else f"{type(error).__name__}: {error}"


def open_store(path: Path) -> sqlite3.Connection:
    """Return the writer's connection to a store, which is made where there is none.

    Raises DamagedError; NoRoomError; StoreError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_file(path)
    if not path.exists():
        _create(path)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk, not only in its cache
        database.execute("PRAGMA wal_autocheckpoint = 500")
        database.execute(f"PRAGMA journal_size_limit = {_MAX_WAL_BYTES}")
        database.execute("PRAGMA cache_size = -4096")
        database.executescript(create_statements())
        _check_small(path, database)
    except sqlite3.Error as error:
        database.close()
        raise open_error(path, error) from None
    except StoreDamagedError:
        database.close()
        raise
    return database


def _create(path: Path) -> None:
    """Make an empty store, so that the file is there whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    database = sqlite3.connect(draft, isolation_level=None)
    try:
        database.executescript(
            f"BEGIN; {create_statements()}; INSERT INTO fact VALUES ('version', '{STORE_VERSION}'); COMMIT;"
        )
    except sqlite3.Error as error:
        database.close()
        for suffix in ("", "-journal"):
            path.with_name(f"{draft.name}{suffix}").unlink(missing_ok=True)
        raise open_error(path, error) from None
    database.close()
    os.rename(draft, path)


def _check_small(path: Path, database: sqlite3.Connection) -> None:
    if path.stat().st_size <= _FULL_CHECK_BYTES:
        (result,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise StoreDamagedError(path, result)


def open_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return why a store cannot be opened. Of the file that its connections share, SQLite says on a full disk
    that it cannot be read.
    """
    if is_damage(error):
        return StoreDamagedError(path, str(error))
    message = f"the store cannot be opened: {error}"
    if "full" in str(error) or is_full(path.parent):
        return StoreNoRoomError(
            Fault(str(path), "store", message, f"make room on the disk of `{path.parent}`")
        )
    return StoreError(
        Fault(str(path), "store", message, f"see to the rights of `{path.parent}` and its disk")
    )


def is_full(directory: Path) -> bool:
    """Return whether the disk of a folder has no room for a store to work."""
    return shutil.disk_usage(directory).free < _MIN_FREE_BYTES


def check_file(path: Path) -> None:
    """Look at the kind, the length and the head of a file. Raises DamagedError; a file that is not there is
    none.
    """
    wal = path.with_name(f"{path.name}-wal")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if wal.exists():
            raise StoreDamagedError(path, "the file is gone, and its log is there") from None
        return
    except OSError as error:
        raise StoreError(Fault(str(path), "store", f"the store cannot be opened: {error.strerror}")) from None
    if not stat.S_ISREG(found.st_mode):
        raise StoreDamagedError(path, "it is no file")
    if not found.st_size:
        raise StoreDamagedError(path, "the file is empty")
    try:
        with open(path, "rb", buffering=0) as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise StoreError(Fault(str(path), "store", f"the store cannot be read: {error.strerror}")) from None
    check_header(path, header)


def check_header(path: Path, header: bytes) -> int:
    """Return how many bytes a file has to have by its head. Raises DamagedError.

    These fields are the same in every file that a hub made; SQLite takes some other values for a file that is
    to be read only, or of another kind.
    """
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StoreDamagedError(path, "it does not begin as a file of SQLite does")
    (page,) = struct.unpack_from(">H", header, 16)
    versions, fractions = set(header[18:20]), bytes(header[21:24])
    pages, layout, encoding = (struct.unpack_from(">I", header, at)[0] for at in (28, 44, 56))
    is_sound = (
        page >= 512
        and page.bit_count() == 1
        and versions <= {1, 2}
        and fractions == bytes((64, 32, 32))
        and layout <= 4
        and encoding == 1
    )
    if not is_sound:
        raise StoreDamagedError(path, "the fields of its head contradict each other")
    return int(page * pages)


class StoreFileWatch:
    """A store's file in use: told apart from one that took its place. To be made when it has been opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._inode, self._wal_inode = _inode(path), _inode(self._wal)

    def check(self) -> None:
        """Raise DamagedError where the file is another one, or not what it was; not while somebody writes."""
        if _inode(self._path) != self._inode:
            change = "was replaced" if self._path.exists() else "was deleted"
            raise StoreDamagedError(self._path, f"the file {change} while the hub ran")
        if self._wal_inode and _inode(self._wal) != self._wal_inode:
            raise StoreDamagedError(self._path, "its log was deleted or replaced while the hub ran")
        with open(self._path, "rb", buffering=0) as file:
            min_bytes = check_header(self._path, file.read(_HEADER_BYTES))
            size = os.fstat(file.fileno()).st_size
        if size < min_bytes:
            raise StoreDamagedError(self._path, f"{size} bytes are left of {min_bytes}")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path) -> Path:
    """Move what is there of a store out of the way, its log and index too, and return its name from now on.

    Of more than `_MOST_SET_ASIDE` the oldest stay, which have most in them, and this one. Raises StoreError.
    """
    target = _free_name(path)
    try:
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{target}{suffix}")
    except OSError as error:
        message = f"the store is damaged, and cannot be set aside: {error.strerror}"
        raise StoreError(Fault(str(path), "store-damaged", message, f"`mv {path} {target}`")) from None
    for old in find_damaged_stores(path)[_MAX_SET_ASIDE - 1 : -1]:
        for suffix in _SUFFIXES:
            with contextlib.suppress(OSError):
                os.unlink(f"{old}{suffix}")
    return target


def set_aside_wal(path: Path) -> Path | None:
    """Move a log that no hub wrote out of the way, and return its name from now on; None where it is sound.

    SQLite passes over such a log without a word. The file is whole without it.
    """
    wal = path.with_name(f"{path.name}-wal")
    try:
        with open(wal, "rb", buffering=0) as file:
            header = file.read(4)
    except OSError:
        return None
    if not header or (len(header) == 4 and struct.unpack(">I", header)[0] in _WAL_MAGICS):
        return None
    target = _free_name(path)
    target = target.with_name(f"{target.name}-wal")
    os.rename(wal, target)
    return target


def _free_name(path: Path) -> Path:
    now = time.strftime("%Y-%m-%dT%H-%M-%S")
    taken = {each.name for each in path.parent.glob(f"{path.name}{DAMAGED_INFIX}*")}
    for number in range(1, 1000):
        name = f"{path.name}{DAMAGED_INFIX}{now}{f'.{number}' if number > 1 else ''}"
        if not {f"{name}{end}" for end in _SUFFIXES} & taken:
            break
    return path.with_name(name)
