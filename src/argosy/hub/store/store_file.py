"""The file of a store: created, opened, checked for damage and set aside if damaged.

SQLite finds some damage only when it reads the page, and none inside a record. So the type, inode, header and
length of the file are checked when it is opened and every second while in use, a small file is checked as a
whole when it is opened, and an error of SQLite or of a record decoder counts as damage at any time.
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
_MAX_WAL_BYTES: Final = 8 << 20  # to which a longer log is truncated
_MIN_FREE_BYTES: Final = 1 << 20
_FULL_CHECK_BYTES: Final = 32 << 20  # size up to which a file is checked as a whole, in about 0.1 s
_MAX_SET_ASIDE: Final = 5  # damaged stores
_SUFFIXES: Final = ("", "-wal", "-shm")
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_WAL_MAGICS: Final = (0x377F0682, 0x377F0683)
_DAMAGE_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)

# Errors that code which reads records may raise on a record that no hub wrote.
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
    """The store cannot be opened, or has another version."""


class StoreNoRoomError(StoreError):
    """The store cannot be opened because its disk is full."""


class StoreDamagedError(StoreError):
    """The file was not written by a hub, or is damaged."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(Fault(str(path), "store-damaged", f"the store is damaged: {reason}"))
        self.reason = reason


def is_damage(error: BaseException) -> bool:
    """Return whether an error of reading or writing a store means that the store is damaged."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return code & 0xFF in _DAMAGE_CODES or "Could not decode to UTF-8" in str(error)
    return isinstance(error, StoreDamagedError | DamagedBlockError | msgspec.DecodeError)


def damage_reason(error: BaseException) -> str:
    """Return the damage that an error reports, as text."""
    return error.reason if isinstance(error, StoreDamagedError) else f"{type(error).__name__}: {error}"


def open_store(path: Path) -> sqlite3.Connection:
    """Return the writer's connection to a store, created if missing.

    Raises StoreDamagedError; StoreNoRoomError; StoreError.
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
    """Create an empty store atomically."""
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
    """Return the StoreError for an error of opening a store.

    On a full disk SQLite reports the shared-memory file as unreadable, so the free space is checked too.
    """
    if is_damage(error):
        return StoreDamagedError(path, str(error))
    message = f"the store cannot be opened: {error}"
    if "full" in str(error) or is_full(path.parent):
        return StoreNoRoomError(
            Fault(str(path), "store", message, f"free space on the disk of `{path.parent}`")
        )
    return StoreError(
        Fault(str(path), "store", message, f"check the permissions of `{path.parent}` and its disk")
    )


def is_full(directory: Path) -> bool:
    """Return whether the disk of a directory has too little space for a store."""
    return shutil.disk_usage(directory).free < _MIN_FREE_BYTES


def check_file(path: Path) -> None:
    """Check the type, length and header of a file; a missing file is valid. Raises StoreDamagedError."""
    wal = path.with_name(f"{path.name}-wal")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if wal.exists():
            raise StoreDamagedError(path, "the file is missing, but its log exists") from None
        return
    except OSError as error:
        raise StoreError(Fault(str(path), "store", f"the store cannot be opened: {error.strerror}")) from None
    if not stat.S_ISREG(found.st_mode):
        raise StoreDamagedError(path, "it is not a regular file")
    if not found.st_size:
        raise StoreDamagedError(path, "the file is empty")
    try:
        with open(path, "rb", buffering=0) as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise StoreError(Fault(str(path), "store", f"the store cannot be read: {error.strerror}")) from None
    check_header(path, header)


def check_header(path: Path, header: bytes) -> int:
    """Return the minimum size of a file by its header, in bytes. Raises StoreDamagedError.

    The fields checked have these values in every file that a hub writes; SQLite would accept others.
    """
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StoreDamagedError(path, "it does not start with the header of an SQLite file")
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
        raise StoreDamagedError(path, "its header is inconsistent")
    return int(page * pages)


class StoreFileWatch:
    """Detects that a store's file in use was replaced or damaged. Create it after the file is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._inode, self._wal_inode = _inode(path), _inode(self._wal)

    def check(self) -> None:
        """Raise StoreDamagedError if the file was replaced or damaged. Do not call during a write."""
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
    """Rename a damaged store with its log and index, and return its new name.

    Of more than `_MAX_SET_ASIDE`, the oldest, which have most records, and this one are kept.
    Raises StoreError.
    """
    target = _free_name(path)
    try:
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{target}{suffix}")
    except OSError as error:
        message = f"the store is damaged and cannot be set aside: {error.strerror}"
        raise StoreError(Fault(str(path), "store-damaged", message, f"`mv {path} {target}`")) from None
    for old in find_damaged_stores(path)[_MAX_SET_ASIDE - 1 : -1]:
        for suffix in _SUFFIXES:
            with contextlib.suppress(OSError):
                os.unlink(f"{old}{suffix}")
    return target


def set_aside_wal(path: Path) -> Path | None:
    """Rename a log that no hub wrote, and return its new name; None if the log is valid.

    SQLite ignores such a log silently. The main file is consistent without it.
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
