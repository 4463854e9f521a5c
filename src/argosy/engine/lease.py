"""The lease of an agent: a file lock that the agent itself takes, and keeps for its life.

The lock proves life, the record in the file says whose. Both are made by the agent's own process
before any user code runs, so no supervisor's memory can be wrong about them. A busy lock proves
that a process (the agent, or one it started) lives; a free lock proves nothing until the recorded
process is dead too, since an agent may close every descriptor it has.

The record is one write of fixed size with a checksum. It is not flushed to disk: only a power
loss could tear it, and the boot id in it makes it void after one.

Used by the forked child before it becomes the agent, so only small standard modules here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from binascii import crc32
from typing import NamedTuple

from argosy.engine.process import Identity

_VERSION = 1
_RECORD = struct.Struct("<I16sQQQI")
_CRC = struct.Struct("<I")
LENGTH = _RECORD.size + _CRC.size


class Record(NamedTuple):
    """Who holds, or last held, a lease.

    incarnation: a random number of 63 bits, new for every start.
    generation: that of the supervisor that asked for the start.
    """

    boot: bytes
    incarnation: int
    identity: Identity
    generation: int


def pack(record: Record) -> bytes:
    """Return the record as it stands in the file."""
    body = _RECORD.pack(
        _VERSION,
        record.boot,
        record.incarnation,
        record.identity.started,
        record.generation,
        record.identity.pid,
    )
    return body + _CRC.pack(crc32(body))


def unpack(data: bytes) -> Record | None:
    """Return the record in `data`, or None when it is torn, empty or of another version."""
    if len(data) != LENGTH:
        return None
    body, crc = data[: _RECORD.size], _CRC.unpack(data[_RECORD.size :])[0]
    if crc32(body) != crc:
        return None
    version, boot, incarnation, started, generation, pid = _RECORD.unpack(body)
    if version != _VERSION or pid == 0:
        return None
    return Record(boot, incarnation, Identity(pid, started), generation)


def read_record(path: str | os.PathLike[str]) -> Record | None:
    """Return the record of a lease file, or None; reads again when it meets a write halfway."""
    for _ in range(5):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
        record = unpack(data)
        if record is not None or not data:
            return record
        time.sleep(0.001)
    return None


def open_lease(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of the lease file, created where it is missing; not inherited by default."""
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


def lock_within(descriptor: int, seconds: float) -> bool:
    """Try for the lock until it is held or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def write_record(descriptor: int, record: Record) -> None:
    """Write the record in one piece; the caller holds the lock."""
    written = os.pwrite(descriptor, pack(record), 0)
    if written != LENGTH:
        raise OSError(errno.ENOSPC, "the lease record was cut short")


def is_free(path: str | os.PathLike[str]) -> bool:
    """Return whether nobody holds the lock of this lease."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)


def is_on_network(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` lies on NFS, by the longest mount point that holds it."""
    real = os.path.realpath(path)
    best = ("", "")
    with open("/proc/self/mounts") as file:
        for line in file:
            _, point, kind, *_ = line.split(" ")
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1].startswith("nfs")
