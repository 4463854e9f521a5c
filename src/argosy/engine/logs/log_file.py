"""The agents' logs: files that agents write themselves, and an index of when each part was written.

An agent has its log as descriptors 1 and 2 (O_APPEND), so a dead supervisor loses no line. Lines need
not have a time: the supervisor records a mark (time, offset) whenever a file has grown, and (time, offset,
pid) before the first output of a process. Readers use the marks to merge the files and to separate the
processes.

The beginning of a long log is a hole (see `log_retention`): offsets stay valid, and readers skip it.

The logs of the supervisor and the hub are rotated instead; one old file is kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from argosy.atomic_file import write_atomic

if TYPE_CHECKING:
    from pathlib import Path


_MARK = struct.Struct("<dQI")
_TAIL_BYTES = 4096
_END_PREFIX = "--- terminated: "
# With the prefix that earlier versions wrote.
_END_PREFIXES = (_END_PREFIX, "--- is ended: ")
# An index with this many marks is thinned out to half of it.
_MAX_MARKS = 8192


class LogMark(NamedTuple):
    """At `at_s` (epoch seconds) the file had `offset` bytes. pid: set if a process began to write there."""

    at_s: float
    offset: int
    pid: int = 0


def open_log(path: Path) -> int:
    """Return a descriptor that appends to the log."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def append_end_notice(path: Path, reason: str) -> None:
    """Append a line to a log with the reason why the engine ends the process; lost on a full disk."""
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
    """Append marks to a log's index; on a full disk they are lost. Cuts a torn mark before."""
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
    """Drop the marks before the offset `start`, and every second one if there are many.

    The first mark stays: it has the time at which the log began. On a full disk the index stays unchanged.
    """
    marks = [mark for index, mark in enumerate(read_marks(log)) if mark.offset >= start or index == 0]
    while len(marks) > _MAX_MARKS // 2:
        thinned = [mark for index, mark in enumerate(marks) if mark.pid or index % 2 or index == 0]
        # If all are process starts, the oldest are dropped.
        marks = thinned if len(thinned) < len(marks) else marks[-_MAX_MARKS // 2 :]
    with contextlib.suppress(OSError):
        write_atomic(index_path(log), b"".join(_MARK.pack(*mark) for mark in marks))


def read_marks(log: Path) -> list[LogMark]:
    """Return the marks of a log, oldest first; a torn one at the end is skipped."""
    try:
        data = index_path(log).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _MARK.size
    return [LogMark(*fields) for fields in _MARK.iter_unpack(data[:whole])]


def log_size(log: Path) -> int:
    """Return the size of a log, 0 if there is none."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def most_relevant_line(log: Path, start: int) -> str:
    """Return the line after the offset `start` that best explains a program's end; empty without lines.

    This is the first error of a final block of `error: ...` and `hint: ...` lines, else the last line that
    is not a hint.
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
    """Return the last non-empty lines after the offset `start`, oldest first.

    The lines are shortened and control characters escaped, since they are shown in argosy's own output.
    Lines that the engine has appended to the log are left out.
    """
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(start, file.tell() - _TAIL_BYTES))
            lines = file.read().replace(b"\0", b"").decode(errors="replace").splitlines()
    except OSError:
        return []
    lines_shown = [line.rstrip() for line in lines if line.strip() and not line.startswith(_END_PREFIXES)]
    return [escape_control(line[:200]) for line in lines_shown[-limit:]]


_SGR_RESET: Final = "\033[0m"
_SGR_SEQUENCE: Final = re.compile(r"(\033\[[0-9;]*m)")
# C0 except tab, DEL and C1, as `cat -v` shows them: `^[` and `M-^[`.
_ESCAPES: Final = (
    {code: f"^{chr(code + 64)}" for code in range(32) if code != 9}
    | {127: "^?"}
    | {code: f"M-^{chr(code - 64)}" for code in range(128, 160)}
)


def escape_control(text: str, *, keep_colours: bool = False) -> str:
    r"""Return `text` with its control characters shown as `^[`, so that a terminal does not act on them.

    A title, a cleared screen or a moved cursor would falsify what the user reads. Colours (SGR,
    `ESC [ numbers m`) are removed, or kept and reset at the end of the text.
    """
    parts = _SGR_SEQUENCE.split(text)  # alternating text and colours
    parts[::2] = [part.translate(_ESCAPES) for part in parts[::2]]
    if keep_colours:
        return "".join([*parts, _SGR_RESET] if len(parts) > 1 else parts)
    return "".join(parts[::2])


MAX_LOG_BYTES: Final = 2**20
_DAEMON_TAIL_BYTES: Final = 16 * 1024
_OUTPUT_FDS: Final = (1, 2)


def rotate_log(log: Path) -> None:
    """Rotate a log if it is long; no process may be writing to it."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))


def rotate_own_log(log: Path) -> None:
    """Rotate the log that is this process's output, if it is long, and continue in a new file."""
    try:
        current = os.stat(log)
    except OSError:
        return
    own_fds = [number for number in _OUTPUT_FDS if os.path.samestat(current, os.fstat(number))]
    if not own_fds or current.st_size <= MAX_LOG_BYTES:
        return
    with contextlib.suppress(OSError):
        log.replace(log.with_name(f"{log.name}.1"))
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for number in own_fds:
            os.dup2(file, number)
        os.close(file)


def last_error_line(log: Path, start: int = 0) -> str:
    """Return the reason why a program ended: its last `error:` line, or its last line.

    start: the size of the log when the program began.
    """
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - _DAEMON_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or [line for line in lines if line.strip()] or [""])[-1].strip()
