"""The logs of the supervisor and the hub: a long one is put aside, in place of the one before."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_LOG_BYTES: Final = 2**20
_TAIL_BYTES: Final = 16 * 1024
_OUTPUT_FDS: Final = (1, 2)


def rotate_log(log: Path) -> None:
    """Put a long log aside; nobody writes to it."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))


def rotate_own_log(log: Path) -> None:
    """Put the log aside that this process writes its output to, if it is long, and go on in a new one."""
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
    """Return what a program said last of why it ended: its last `error:` line, or its last line.

    since: the length that the log had when it began.
    """
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or [line for line in lines if line.strip()] or [""])[-1].strip()
