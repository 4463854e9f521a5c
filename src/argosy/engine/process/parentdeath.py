"""Children that the kernel kills when their parent ends (PR_SET_PDEATHSIG of prctl(2))."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def fork_dependent() -> int:
    """Fork a child that ends with this process, also while it is stopped; returns what os.fork returns.

    Raises OSError: there can be no more processes.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent ended before the kernel knew
    return pid


def outlive_parent() -> None:
    """In a child of `fork_dependent`: no longer end with the parent."""
    _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
