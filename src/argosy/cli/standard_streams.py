"""Standard output that nobody takes any more, and standard streams that were closed from the start."""

from __future__ import annotations

import os
import sys


def discard_stdout() -> None:
    """Drop what was not written yet and all that comes, so that the interpreter's end waits for no reader."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def reopen_closed_streams() -> None:
    """Let standard streams that the caller has closed (`2>&-`) lead to nowhere.

    Else the next file that is opened, a lease or a log, gets the number 1 or 2, and messages go into it.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        handle = os.open(os.devnull, os.O_RDWR)
        if handle != fd:
            os.dup2(handle, fd)
            os.close(handle)
        setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))
