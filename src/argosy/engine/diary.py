"""The diary: what happened to the fleet, a line an event, for the timeline and the hub.

One O_APPEND write a line: `crc32 JSON`. No decision rests on it, so it may fail when the disk is
full; a torn tail is passed over by readers and cut when it is opened for writing again.
"""

from __future__ import annotations

import os
import time
from binascii import crc32
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = 1


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. at_s: epoch seconds; mono_s: the monotonic clock of this boot."""

    version: int = _VERSION
    sequence: int
    at_s: float
    mono_s: float
    kind: str
    agent: str = ""
    state: str = ""
    pid: int | None = None
    text: str = ""


class Diary:
    """Appends events; counts those that could not be written in `lost`."""

    def __init__(self, path: Path) -> None:
        self.lost = 0
        self._is_torn = False
        self._sequence = _cut_torn_tail(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(
        self, kind: str, *, agent: str = "", state: str = "", pid: int | None = None, text: str = ""
    ) -> None:
        """Append one event, now."""
        self._sequence += 1
        entry = Entry(
            sequence=self._sequence,
            at_s=time.time(),
            mono_s=time.monotonic(),
            kind=kind,
            agent=agent,
            state=state,
            pid=pid,
            text=text,
        )
        body = msgspec.json.encode(entry)
        line = b"%08x %s\n" % (crc32(body), body)
        if self._is_torn:
            line = b"\n" + line
        written = self._write(line)
        self.lost += written < len(line)
        self._is_torn = 0 < written < len(line) or (self._is_torn and not written)

    def _write(self, line: bytes) -> int:
        """Return how much of the line went to the disk, which may be full."""
        try:
            return os.write(self._file, line)
        except OSError:
            return 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_diary(path: Path) -> Iterator[Entry]:
    """Yield the events of a diary, oldest first; damaged lines are passed over."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            entry = _parse(line)
            if entry is not None:
                yield entry


def _parse(line: bytes) -> Entry | None:
    crc, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        if int(crc, 16) != crc32(body):
            return None
        return msgspec.json.decode(body, type=Entry)
    except (ValueError, msgspec.DecodeError):
        return None


def _cut_torn_tail(path: Path) -> int:
    """Cut what follows the last whole line, and return the sequence number of that line."""
    try:
        with open(path, "rb+") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - 65536))
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            if whole < len(tail):
                file.truncate(size - len(tail) + whole)
    except FileNotFoundError:
        return 0
    entries = [entry for line in tail[:whole].splitlines() if (entry := _parse(line)) is not None]
    return entries[-1].sequence if entries else 0
