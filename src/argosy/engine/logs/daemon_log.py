"""Rotates the logs of the supervisor and the hub; one old file is kept."""

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
            file.seek(max(start if start <= size else 0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or [line for line in lines if line.strip()] or [""])[-1].strip()
