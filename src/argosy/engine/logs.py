"""The agents' output: files that they write themselves, and an index of when each part was written.

An agent owns its log as descriptors 1 and 2 (O_APPEND), so a dead supervisor loses no line. Lines
need not carry a time: the supervisor notes (time, offset) whenever a file has grown, and
(time, offset, pid) at every start, which readers use to merge the files and to mark the seams.
"""

from __future__ import annotations

import os
import struct
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MARK = struct.Struct("<dQI")
_TAIL_BYTES = 4096
_BLOCK_BYTES = 65536


class Mark(NamedTuple):
    """At `at_s` (epoch seconds) the file had `offset` bytes; pid is set where a process began to write."""

    at_s: float
    offset: int
    pid: int = 0


class Line(NamedTuple):
    """One line of an agent. seam: the pid of a process that starts here, text empty."""

    at_s: float
    agent: str
    text: str
    seam: int = 0


def open_log(path: Path) -> int:
    """Return a descriptor that appends to the log."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def index_of(log: Path) -> Path:
    """Return the path of a log's index."""
    return log.with_suffix(".idx")


def append_mark(log: Path, mark: Mark) -> None:
    """Append a mark to a log's index; a full disk costs the mark, and a torn one is cut off by the next."""
    try:
        with open(index_of(log), "ab", buffering=0) as file:
            torn = file.tell() % _MARK.size
            if torn:
                file.truncate(file.tell() - torn)
            file.write(_MARK.pack(*mark))
    except OSError:
        return


def mark_growth(logs: Iterable[Path]) -> None:
    """Note that these logs have grown, now."""
    now = time.time()
    for log in logs:
        try:
            size = log.stat().st_size
        except FileNotFoundError:
            continue
        append_mark(log, Mark(now, size))


def read_marks(log: Path) -> list[Mark]:
    """Return the marks of a log, oldest first; a torn one at the end is passed over."""
    try:
        data = index_of(log).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _MARK.size
    return [Mark(*fields) for fields in _MARK.iter_unpack(data[:whole])]


def last_line(log: Path) -> str:
    """Return the last line with something in it, shortened; empty when there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip()[:200] if lines else ""


class Reader:
    """Reads one agent's log from some offset on, and goes on from there when it has grown."""

    def __init__(self, agent: str, log: Path, offset: int = 0) -> None:
        self.agent = agent
        self._log = log
        self._offset = offset

    def read(self) -> Iterator[Line]:
        """Yield the whole lines that have come since, each with its time, and the seams between them.

        What a process wrote last without ending the line is a line too, once the next has begun.
        """
        try:
            with open(self._log, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        marks = read_marks(self._log)
        seams = {mark.offset: mark for mark in marks if mark.pid}
        offsets = [mark.offset for mark in marks]
        for raw in _cut(data, sorted(seam - self._offset for seam in seams if seam > self._offset)):
            seam = seams.get(self._offset)
            if seam is not None:
                yield Line(seam.at_s, self.agent, "", seam.pid)
            # The first mark beyond the line's first byte was made when the line was there.
            beyond = bisect_right(offsets, self._offset)
            at_s = marks[min(beyond, len(marks) - 1)].at_s if marks else 0.0
            self._offset += len(raw)
            yield Line(at_s, self.agent, raw.rstrip(b"\r\n").decode(errors="replace"))


def _cut(data: bytes, seams: list[int]) -> Iterator[bytes]:
    """Yield the pieces of `data` that end with a line feed or where a seam is; not what is left after."""
    start = 0
    for seam in [*seams, None]:
        piece = data[start:seam]
        end = 0
        while (feed := piece.find(b"\n", end)) >= 0:
            yield piece[end : feed + 1]
            end = feed + 1
        if seam is None or seam > len(data):
            return
        if end < len(piece):
            yield piece[end:]
        start = seam


def tail_offset(log: Path, lines: int) -> int:
    """Return the offset from which a log has its last `lines` lines."""
    try:
        with open(log, "rb") as file:
            position = file.seek(0, os.SEEK_END)
            while position:
                step = min(_BLOCK_BYTES, position)
                position -= step
                file.seek(position)
                block = file.read(step)
                feed = len(block)
                while (feed := block.rfind(b"\n", 0, feed)) >= 0:
                    if lines == 0:
                        return position + feed + 1
                    lines -= 1
    except FileNotFoundError:
        return 0
    return 0
