"""The lease of an agent: a file lock that the agent itself takes, and holds until it exits.

The lock proves that a process lives, the record in the file identifies it. Both are made by the agent's
own process before any user code runs, so a supervisor cannot be wrong about them. A busy lock proves that
a process (the agent, or one it started) lives; a free lock proves nothing until the recorded process
is dead too, since an agent may close every descriptor it has.

The record is one write with a checksum. It is not flushed to disk: only a power loss could tear it, and
the boot id in it voids it after one. It contains its version and its length, and a later version
only adds fields before the checksum: a running agent of another version of argosy, older or newer, is
read and adopted like any other.

Used by the forked child before it becomes the agent, so it imports only small standard modules.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from binascii import crc32
from typing import NamedTuple

from argosy.engine.process.os_process import ProcessIdentity

_VERSION = 2
# version, length of all with the checksum, boot id, incarnation, start time, generation, pid
_RECORD = struct.Struct("<II16sQQQI")
_CRC = struct.Struct("<I")
RECORD_BYTES = _RECORD.size + _CRC.size
# Version 1 has no length field.
_RECORD_1 = struct.Struct("<I16sQQQI")
# A larger length is not a valid length.
_MAX_RECORD_BYTES = 4096


class LeaseRecord(NamedTuple):
    """The current or last holder of a lease.

    incarnation: a random number of 62 bits, new for every start.
    generation: that of the supervisor that requested the start.
    """

    boot_id: bytes
    incarnation: int
    identity: ProcessIdentity
    generation: int


def new_incarnation() -> int:
    """Return a unique number for a start; not from `secrets`, which loads all of OpenSSL."""
    return int.from_bytes(os.urandom(8)) >> 2


def pack_record(record: LeaseRecord) -> bytes:
    """Return the record as it is stored in the file."""
    body = _RECORD.pack(
        _VERSION,
        RECORD_BYTES,
        record.boot_id,
        record.incarnation,
        record.identity.start_ticks,
        record.generation,
        record.identity.pid,
    )
    return body + _CRC.pack(crc32(body))


def unpack_record(data: bytes) -> LeaseRecord | None:
    """Return the record in `data`, of this, an earlier or a later version; None when it is void.

    A record of zeros has the length 0 and is void, although its checksum is right.
    """
    if len(data) < 8:
        return None
    version, length = struct.unpack_from("<II", data)
    if version == 1:
        return _unpack_version_1(data)
    if (
        version == 0
        or not RECORD_BYTES <= length <= min(len(data), _MAX_RECORD_BYTES)
        or not _is_checksum_valid(data[:length])
    ):
        return None
    _, _, boot, incarnation, started, generation, pid = _RECORD.unpack_from(data)
    return LeaseRecord(boot, incarnation, ProcessIdentity(pid, started), generation) if pid else None


def _unpack_version_1(data: bytes) -> LeaseRecord | None:
    body = data[: _RECORD_1.size + _CRC.size]
    if len(body) < _RECORD_1.size + _CRC.size or not _is_checksum_valid(body):
        return None
    _, boot, incarnation, started, generation, pid = _RECORD_1.unpack_from(body)
    return LeaseRecord(boot, incarnation, ProcessIdentity(pid, started), generation) if pid else None


def _is_checksum_valid(data: bytes) -> bool:
    """Return whether the checksum at the end is correct."""
    crc: int = _CRC.unpack(data[-_CRC.size :])[0]
    return crc32(data[: -_CRC.size]) == crc


def read_record(path: str | os.PathLike[str]) -> LeaseRecord | None:
    """Return the record of a lease file, or None; reads again after a partial write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return read_record_of(descriptor)
    finally:
        os.close(descriptor)


def written_at(path: str | os.PathLike[str]) -> float:
    """Return when a lease was written, which is when its process became the agent, in epoch seconds.

    Raises OSError: it does not exist, or is not readable.
    """
    return os.stat(path).st_mtime


def lease_age_s(path: str | os.PathLike[str]) -> float:
    """Return how many seconds ago a lease was written, 0 if it does not exist."""
    try:
        return time.time() - written_at(path)
    except FileNotFoundError:
        return 0.0


def read_record_of(descriptor: int) -> LeaseRecord | None:
    """Return the record of an open lease file, as `read_record` does."""
    for _ in range(5):
        data = os.pread(descriptor, _MAX_RECORD_BYTES, 0)
        record = unpack_record(data)
        if record is not None or not data:
            return record
        time.sleep(0.001)
    return None


def open_lease(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of the lease file, created if missing; not inheritable."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free; return whether it is held now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return False
        raise
    return True


def try_lock_within(descriptor: int, seconds: float) -> bool:
    """Try for the lock until it is held or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def write_record(descriptor: int, record: LeaseRecord) -> None:
    """Write the record in one call; the caller holds the lock."""
    written = os.pwrite(descriptor, pack_record(record), 0)
    if written != RECORD_BYTES:
        raise OSError(errno.ENOSPC, "the lease record was truncated")


def is_lease_free(path: str | os.PathLike[str]) -> bool:
    """Return whether no process holds the lock of this lease."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)
