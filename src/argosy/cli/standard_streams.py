"""Handles standard output whose reader has exited, and standard streams that the caller closed."""

from __future__ import annotations

import os
import sys


def discard_stdout() -> None:
    """Redirect stdout to /dev/null, so that the exit of the interpreter does not wait for a reader."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def reopen_closed_streams() -> None:
    """Open standard streams that the caller closed (`2>&-`) on /dev/null.

    Otherwise the next opened file, such as a lease or a log, gets descriptor 1 or 2 and receives messages.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        handle = os.open(os.devnull, os.O_RDWR)
        if handle != fd:
            os.dup2(handle, fd)
            os.close(handle)
        setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))
