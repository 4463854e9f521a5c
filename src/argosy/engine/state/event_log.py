"""The event log: what happened to the fleet, one event per line, for the timeline and the hub.

Each line is `crc32 JSON`; the lines of one tick of the supervisor are written in one O_APPEND write. No
decision depends on the log, so a write may fail on a full disk; readers skip a torn tail, and the next
writer cuts it. A long log is renamed to `event-log.1`, replacing the previous one. Each line has its
version: later versions add keys, and readers ignore unknown keys.
"""

from __future__ import annotations

import contextlib
import os
import time
from binascii import crc32
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# The kind of a transition of an agent of another machine, as received here.
REMOTE_STATE = "remote-state"
# Kinds by the names that earlier versions wrote.
RENAMED_KINDS = {
    "account": "apply-summary",
    "distant": REMOTE_STATE,
    "drill": "fault-injected",
    "few-descriptors": "descriptors-exhausted",
    "folder-lost": "state-dir-lost",
    "folder-made": "state-dir-recreated",
    "hub": "hub-started",
    "hub-lost": "hub-exited",
    "machine-blind": "machine-unreachable",
    "machine-linked": "machine-connected",
    "no-birth": "spawn-timeout",
    "no-forker": "forker-failed",
    "no-hub": "hub-start-failed",
    "no-zygote": "zygote-failed",
    "not-linked": "peering-failed",
    "order": "spawn-requested",
    "restarted": "restart-finished",
    "spawned": "started-by-exec",
    "zygote": "zygote-ready",
}

_VERSION = 1
_MAX_BYTES = 8 * 2**20


class EventLogRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. at_s: epoch seconds; mono_s: the monotonic clock of this boot. lines: of the agent's log."""

    version: int = _VERSION
    sequence: int
    at_s: float
    mono_s: float
    kind: str
    agent: str = ""
    state: str = ""
    pid: int | None = None
    text: str = ""
    lines: list[str] = []


_encode = msgspec.json.Encoder().encode


def current_kind(kind: str) -> str:
    """Return today's name of an event kind that an earlier version may have written."""
    return RENAMED_KINDS.get(kind, kind)


class EventLog:
    """Appends events; counts those that could not be written in `dropped_count`.

    schedule_flush(flush): has `flush` called after a burst of events; by default each is written at once.
    """

    def __init__(
        self, path: Path, schedule_flush: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        self.dropped_count = 0
        self._schedule_flush = schedule_flush
        self._buffered: list[bytes] = []
        self._path = path
        self._is_torn = False
        self._sequence = _truncate_torn_tail(path) or _truncate_torn_tail(rotated_path(path))
        self._file = _open(path)
        self._length = os.fstat(self._file).st_size

    def append(
        self,
        kind: str,
        *,
        agent: str = "",
        state: str = "",
        pid: int | None = None,
        text: str = "",
        lines: Sequence[str] = (),
    ) -> None:
        """Append one event with the current time."""
        self._sequence += 1
        record = EventLogRecord(
            sequence=self._sequence,
            at_s=time.time(),
            mono_s=time.monotonic(),
            kind=kind,
            agent=agent,
            state=state,
            pid=pid,
            text=text,
            lines=lines if isinstance(lines, list) else list(lines),
        )
        body = _encode(record)
        self._buffered.append(b"%08x %s\n" % (crc32(body), body))
        if self._schedule_flush is None:
            self.flush()
        elif len(self._buffered) == 1:
            self._schedule_flush(self.flush)

    def flush(self) -> None:
        """Write the buffered events; to be called before a client that may read the log gets a reply."""
        lines, self._buffered = self._buffered, []
        if not lines:
            return
        before = b"\n" if self._is_torn else b""
        data = before + b"".join(lines)
        written = self._write(data)
        self._length += written
        self.dropped_count += data.count(b"\n", max(written, len(before)))
        if written:
            self._is_torn = data[written - 1] != ord("\n")
        if self._length > _MAX_BYTES and not self._is_torn:
            self._rotate()

    def _rotate(self) -> None:
        """Continue in a new file; on a full disk in the current one."""
        self._length = 0
        try:
            os.rename(self._path, rotated_path(self._path))
            file = _open(self._path)
        except OSError:
            return
        os.close(self._file)
        self._file = file

    def reopen(self) -> None:
        """Continue in a new file, since the state directory was deleted and created again."""
        self.flush()
        file = _open(self._path)
        os.close(self._file)
        self._file, self._length, self._is_torn = file, 0, False

    def _write(self, line: bytes) -> int:
        """Return how many bytes were written; the disk may be full."""
        try:
            return os.write(self._file, line)
        except OSError:
            return 0

    def close(self) -> None:
        """Write the buffered events, and close the file."""
        self.flush()
        os.close(self._file)


def rotated_path(path: Path) -> Path:
    """Return the path to which the log at `path` is rotated."""
    return path.with_name(path.name + ".1")


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def read_event_log(path: Path) -> Iterator[EventLogRecord]:
    """Yield the events of a log and of its rotated file, oldest first; damaged lines are skipped."""
    for each in (rotated_path(path), path):
        yield from _iter_records(each)


class EventLogFollower:
    """Follows an event log: each `read` returns the events since the previous one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1  # kept open, so that no other file gets its inode
        self._offset = 0

    def read(self) -> list[EventLogRecord]:
        """Return the new events.

        Returns all events at first, and again after the file was rotated, truncated or deleted.
        """
        is_same = self._is_same_file()
        if not is_same and not self._open():
            return []
        data = os.pread(self._file, os.fstat(self._file).st_size - self._offset, self._offset)
        complete_length = data.rfind(b"\n") + 1
        self._offset += complete_length
        records = [
            record
            for line in data[:complete_length].splitlines()
            if (record := _parse_record(line)) is not None
        ]
        return records if is_same else [*_iter_records(rotated_path(self._path)), *records]

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._offset = -1, 0

    def _is_same_file(self) -> bool:
        try:
            current = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (
            self._file >= 0
            and os.path.samestat(current, os.fstat(self._file))
            and current.st_size >= self._offset
        )

    def _open(self) -> bool:
        self.close()
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True


def _iter_records(path: Path) -> Iterator[EventLogRecord]:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            record = _parse_record(line)
            if record is not None:
                yield record


def _parse_record(line: bytes) -> EventLogRecord | None:
    crc, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        if int(crc, 16) != crc32(body):
            return None
        record = msgspec.json.decode(body, type=EventLogRecord)
    except (ValueError, msgspec.DecodeError):
        return None
    kind = current_kind(record.kind)
    return record if kind == record.kind else msgspec.structs.replace(record, kind=kind)


def _truncate_torn_tail(path: Path) -> int:
    """Cut everything after the last complete line, and return the sequence number of that line."""
    try:
        with open(path, "rb+") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - 65536))
            tail = file.read()
            complete_length = tail.rfind(b"\n") + 1
            if complete_length < len(tail):
                file.truncate(size - len(tail) + complete_length)
    except FileNotFoundError:
        return 0
    records = [
        record for line in tail[:complete_length].splitlines() if (record := _parse_record(line)) is not None
    ]
    return records[-1].sequence if records else 0
