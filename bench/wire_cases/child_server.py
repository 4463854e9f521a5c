"""Starts a server program that ends with this process, even if it is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_WITHIN_S: Final = 20.0
_libc = ctypes.CDLL(None, use_errno=True)


def start_child_server(command: Sequence[str]) -> None:
    """Start a program that the kernel kills when this process ends for any reason."""
    parent = os.getpid()

    def bind_to_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the parent ended before the prctl call
            os._exit(1)

    subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=bind_to_parent)


def wait_until_accepting(family: socket.AddressFamily, address: str | tuple[str, int]) -> None:
    """Return when something accepts a connection there; raises TimeoutError after 20 s."""
    until_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < until_s:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            if trial.connect_ex(address) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError(f"nothing accepts a connection at {address} after {_WITHIN_S:g} s")
