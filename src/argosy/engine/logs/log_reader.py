"""Reads an agent's log as it grows: complete lines with their times, and the starts of processes.

A reader claims what it has not read (F_OFD_SETLK, fcntl(2)): the log keeper does not free that, as far as
the total limit allows. The claim ends with the reader.

A search for a pattern reads from the offset at which a process began, and claims nothing.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.logs.log_file import LogMark, read_marks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_BLOCK_BYTES = 65536
_CHUNK_BYTES = 4 * 2**20
# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")


class LogLine(NamedTuple):
    """One line of an agent.

    process_start_pid: the pid of a process that starts here, text empty. lost_bytes: the number of bytes
    that were freed here before they were read, text empty; they were written between lost_since_s, 0.0 if
    unknown, and at_s.
    """

    at_s: float
    agent: str
    text: str
    process_start_pid: int = 0
    lost_bytes: int = 0
    lost_since_s: float = 0.0


class LogReader:
    """Reads one agent's log from an offset, and continues from there when it has grown.

    From its first read to its `close` it claims what it has not read.

    is_behind: whether the last read stopped at its `max_bytes` before the end of the log.
    """

    def __init__(self, agent: str, log: Path, offset: int = 0) -> None:
        self.agent = agent
        self._log = log
        self.is_behind = False
        self._offset = offset
        self._at_s = 0.0  # of the last line read
        self._lost_bytes = 0  # not reported yet
        self._lost_since_s = 0.0
        self._file: int | None = None

    def read(self, max_bytes: int | None = None) -> Iterator[LogLine]:
        """Yield the complete lines of the log so far, each with its time, and the starts of processes.

        An unfinished last line of a process counts as a line once the next process has begun.
        max_bytes: stop after this many bytes.
        """
        self.is_behind = False
        file = self._open_current()
        if file is None:
            return
        end = os.fstat(file).st_size
        limit = end if max_bytes is None else self._offset + max_bytes
        while self._offset < end:
            if self._offset >= limit:
                self.is_behind = True
                break
            marks = read_marks(self._log)
            if lost := self._skip_hole(file, marks):
                limit, end = limit + lost, os.fstat(file).st_size
            data = self._read_chunk(file, end, marks)
            if first_kept_offset(file, self._offset) != self._offset:
                continue  # it was freed while it was read
            before = self._offset
            yield from self._iter_lines(data, marks)
            if self._offset == before:
                return  # an unfinished line
        claim_unread(file, self._offset)

    @property
    def offset(self) -> int:
        """The offset up to which it has read."""
        return self._offset

    def _open_current(self) -> int | None:
        """Return a descriptor of the current log; a new file is read from its beginning."""
        try:
            found = os.stat(self._log)
        except FileNotFoundError:
            return None
        if self._file is not None:
            if os.path.samestat(found, os.fstat(self._file)):
                return self._file
            self.close()
            self._offset = 0
        self._file = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        claim_unread(self._file, self._offset)
        return self._file

    def _skip_hole(self, file: int, marks: list[LogMark]) -> int:
        """Skip what was freed and return its size; it is reported before the next line."""
        dropped = first_kept_offset(file, self._offset) - self._offset
        if dropped and not self._lost_bytes:
            self._lost_since_s = self._at_s or _time_at(marks, self._offset)
        self._lost_bytes += dropped
        self._offset += dropped
        return dropped

    def _read_chunk(self, file: int, end: int, marks: list[LogMark]) -> bytes:
        """Return the next bytes, up to `end`: at least a complete line if there is one."""
        claim_unread(file, self._offset)
        size = _CHUNK_BYTES
        while True:
            data = os.pread(file, min(size, end - self._offset), self._offset)
            chunk_end = self._offset + len(data)
            has_end = b"\n" in data or any(m.pid and self._offset < m.offset <= chunk_end for m in marks)
            if has_end or len(data) < size:
                return data
            size *= 2

    def _iter_lines(self, data: bytes, marks: list[LogMark]) -> Iterator[LogLine]:
        process_starts = {mark.offset: mark for mark in marks if mark.pid}
        offsets = [mark.offset for mark in marks]
        for raw in _split_lines(
            data, sorted(start - self._offset for start in process_starts if start > self._offset)
        ):
            process_start = process_starts.get(self._offset)
            # The first mark after the line's first byte was made when the line was written.
            beyond = bisect_right(offsets, self._offset)
            at_s = self._at_s = marks[min(beyond, len(marks) - 1)].at_s if marks else 0.0
            if self._lost_bytes:
                yield self._dropped_marker(process_start.at_s if process_start else at_s)
            if process_start is not None:
                yield LogLine(process_start.at_s, self.agent, "", process_start.pid)
            self._offset += len(raw)
            yield LogLine(at_s, self.agent, raw.rstrip(b"\r\n").decode(errors="replace"))

    def _dropped_marker(self, at_s: float) -> LogLine:
        dropped, self._lost_bytes = self._lost_bytes, 0
        return LogLine(at_s, self.agent, "", lost_bytes=dropped, lost_since_s=self._lost_since_s)

    def close(self) -> None:
        """Close the log, which ends the claim."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _time_at(marks: list[LogMark], offset: int) -> float:
    """Return the time of the last mark at or before `offset`; 0.0 if there is none."""
    return max((mark.at_s for mark in marks if mark.offset <= offset), default=0.0)


def _split_lines(data: bytes, boundaries: list[int]) -> Iterator[bytes]:
    """Yield the pieces of `data` that end with a line feed or at a boundary, without the unfinished rest."""
    start = 0
    for boundary in [*boundaries, None]:
        piece = data[start:boundary]
        end = 0
        while (feed := piece.find(b"\n", end)) >= 0:
            yield piece[end : feed + 1]
            end = feed + 1
        if boundary is None or boundary > len(data):
            return
        if end < len(piece):
            yield piece[end:]
        start = boundary


def claim_unread(descriptor: int, offset: int) -> None:
    """Claim a log from `offset` on, including future output, in place of an earlier claim."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, offset, 0, 0))
    if offset:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, offset, 0))


def first_claimed_offset(descriptor: int, end: int) -> int:
    """Return the first offset before `end` that a reader claims, else `end`."""
    while end > 0:
        query = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, end, 0)
        kind, _, start, _, _ = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, query))
        if kind == fcntl.F_UNLCK:
            return end
        end = start  # the claim of one reader; another may claim more
    return 0


def first_kept_offset(descriptor: int, offset: int) -> int:
    """Return the first kept offset from `offset` on, after a hole and the line that it has torn."""
    try:
        start = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole, or nothing at all
        return max(offset, os.fstat(descriptor).st_size)
    if start <= offset:
        return offset
    position = start
    while block := os.pread(descriptor, _BLOCK_BYTES, position):
        feed = block.find(b"\n")
        if feed >= 0:
            return position + feed + 1
        position += len(block)
    return start


def find_tail_offset(log: Path, lines: int) -> int:
    """Return the offset of the last `lines` lines of a log, as far as they are kept."""
    try:
        with open(log, "rb") as file:
            start = first_kept_offset(file.fileno(), 0)
            position = file.seek(0, os.SEEK_END)
            while position > start:
                step = min(_BLOCK_BYTES, position - start)
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
    return start


_SEARCH_BYTES = 1 << 18
_MAX_LINE_BYTES = 1 << 14


class LineSearch:
    """Reads a growing log, each byte once.

    start: the size of the log when the process was requested.
    Raises re.error: `pattern` is not a regular expression (the loader rejects it).
    """

    def __init__(self, log: Path, start: int, pattern: str) -> None:
        self._log = log
        self._offset = start
        self._pattern = re.compile(pattern)
        self._partial_line = b""
        self.has_matched = False

    def search_next(self) -> bool:
        """Search the next part of the log; return whether there may be more to read at once.

        A line without its line feed is not searched yet, unless it is longer than 16 KiB.
        """
        data = self._next_part()
        lines = (self._partial_line + data).split(b"\n")
        self._partial_line = lines.pop()
        if len(self._partial_line) > _MAX_LINE_BYTES:
            lines.append(self._partial_line)
            self._partial_line = b""
        self.has_matched = self.has_matched or any(map(self._is_match, lines))
        return len(data) == _SEARCH_BYTES and not self.has_matched

    def _next_part(self) -> bytes:
        try:
            if os.stat(self._log).st_size <= self._offset:
                return b""
            with open(self._log, "rb") as file:
                file.seek(self._offset)
                data = file.read(_SEARCH_BYTES)
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data

    def _is_match(self, line: bytes) -> bool:
        return self._pattern.search(line.rstrip(b"\r").decode(errors="replace")) is not None
