"""Standard output that nobody takes any more, and standard streams that were closed from the start."""

from __future__ import annotations

import os
import sys


def give_up_stdout() -> None:
    """Drop what was not written yet and all that comes, so that the interpreter's end waits for no reader."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_closed() -> None:
    """Let standard streams that the caller has closed (`2>&-`) lead to nowhere.

    Else the next file that is opened, a lease or a log, gets the number 1 or 2, and messages go into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        handle = os.open(os.devnull, os.O_RDWR)
        if handle != number:
            os.dup2(handle, number)
            os.close(handle)
        setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
