"""The agents' output: files that they write themselves, and an index of when each part was written.

An agent owns its log as descriptors 1 and 2 (O_APPEND), so a dead supervisor loses no line. Lines
need not carry a time: the supervisor notes (time, offset) whenever a file has grown, and before
the first growth after a start (time, offset, pid) of that, which readers use to merge the files and to
mark the seams.

The beginning of a long log is a hole (see `retention`): offsets stay, and readers pass over it.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.logs.terminal_escape import escape_control

if TYPE_CHECKING:
    from pathlib import Path

_MARK = struct.Struct("<dQI")
_TAIL_BYTES = 4096
_END_PREFIX = "--- is ended: "
# An index of so many marks is thinned out to half of it.
_MAX_MARKS = 8192


class LogMark(NamedTuple):
    """At `at_s` (epoch seconds) the file had `offset` bytes; pid is set where a process began to write."""

    at_s: float
    offset: int
    pid: int = 0


def open_log(path: Path) -> int:
    """Return a descriptor that appends to the log."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def append_end_notice(path: Path, reason: str) -> None:
    """Append a line of the engine's own to a log, why it ends the process; lost on a full disk."""
    with contextlib.suppress(OSError):
        log = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(log).st_size
            before = b"" if size == 0 or os.pread(log, 1, size - 1) == b"\n" else b"\n"
            os.write(log, before + f"{_END_PREFIX}{reason} ---\n".encode())
        finally:
            os.close(log)


def index_path(log: Path) -> Path:
    """Return the path of a log's index."""
    return log.with_suffix(".idx")


def append_marks(log: Path, *marks: LogMark) -> None:
    """Append marks to a log's index; a full disk costs the marks, and a torn one is cut off by the next."""
    try:
        descriptor = open_log(index_path(log))
        try:
            size = os.fstat(descriptor).st_size
            torn = size % _MARK.size
            if torn:
                os.ftruncate(descriptor, size - torn)
            os.write(descriptor, b"".join(_MARK.pack(*mark) for mark in marks))
        finally:
            os.close(descriptor)
    except OSError:
        return
    if size >= _MAX_MARKS * _MARK.size:
        shorten_index(log, 0)


def shorten_index(log: Path, start: int) -> None:
    """Drop the marks before the offset `start`, and of many every second; a full disk leaves it as it is.

    The first stays: it says since when there is the log.
    """
    marks = [mark for at, mark in enumerate(read_marks(log)) if mark.offset >= start or at == 0]
    while len(marks) > _MAX_MARKS // 2:
        thinned = [mark for at, mark in enumerate(marks) if mark.pid or at % 2 or at == 0]
        # Where there is nothing but seams, the oldest go.
        marks = thinned if len(thinned) < len(marks) else marks[-_MAX_MARKS // 2 :]
    index = index_path(log)
    temp_path = index.with_suffix(".new")
    try:
        temp_path.write_bytes(b"".join(_MARK.pack(*mark) for mark in marks))
        os.replace(temp_path, index)
    except OSError:
        with contextlib.suppress(OSError):
            temp_path.unlink()


def read_marks(log: Path) -> list[LogMark]:
    """Return the marks of a log, oldest first; a torn one at the end is passed over."""
    try:
        data = index_path(log).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _MARK.size
    return [LogMark(*fields) for fields in _MARK.iter_unpack(data[:whole])]


def log_size(log: Path) -> int:
    """Return the size of a log, 0 when there is none."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def most_relevant_line(log: Path, start: int) -> str:
    """Return the line after the byte `start` that tells best how a program ended; empty when there is none.

    That is the first of the errors that argosy's own words end with (`error: ...`, `hint: ...`), else the
    last line that is no hint.
    """
    lines = [line.strip() for line in last_lines(log, start)]
    errors = []
    for line in reversed(lines):
        if not line.startswith(("error: ", "hint: ")):
            break
        errors += [line] if line.startswith("error: ") else []
    if errors:
        return errors[-1].removeprefix("error: ")
    return next((line for line in reversed(lines) if not line.startswith("hint: ")), "")


def last_lines(log: Path, start: int, limit: int = 10) -> list[str]:
    """Return the last lines after the byte `start` that have something in them, oldest first.

    Shortened, and without what a terminal would act on: they are shown beside what argosy says itself.
    What it said itself in the log is left out.
    """
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(start, file.tell() - _TAIL_BYTES))
            lines = file.read().replace(b"\0", b"").decode(errors="replace").splitlines()
    except OSError:
        return []
    lines_shown = [line.rstrip() for line in lines if line.strip() and not line.startswith(_END_PREFIX)]
    return [escape_control(line[:200]) for line in lines_shown[-limit:]]
