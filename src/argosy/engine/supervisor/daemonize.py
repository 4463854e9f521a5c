"""Starts the supervisor as a process in a session of its own.

The supervisor is a fork of the client, which has already loaded half of its modules; a fresh interpreter
takes twice as long. A client with threads is not forked; it starts a fresh interpreter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from argosy.engine.process.os_process import close_other_descriptors

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCE_DIR = str(Path(__file__).resolve().parents[3])
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def spawn_detached(args: Sequence[str], ready_fd: int, log_fd: int) -> int:
    """Start `argosy.engine.supervisor.entrypoint` with `args` and return its pid; the caller waits for it.

    ready_fd: the descriptor for its report, the only one that it inherits. log_fd: its output.
    Raises OSError: no process can be created.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        return _spawn(args, ready_fd, log_fd)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it; the next write reports that
            stream.flush()
    pid = 0
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        try:
            pid = os.fork()
            if pid == 0:
                _exec_child(args, ready_fd, log_fd)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except KeyboardInterrupt:  # raised before the signals were blocked
        if pid:
            terminate(pid)
        raise
    return pid


def terminate(pid: int) -> None:
    """Terminate a process that `spawn_detached` started; agents it has adopted keep running."""
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)


def _spawn(args: Sequence[str], ready_fd: int, log_fd: int) -> int:
    process = subprocess.Popen(
        [sys.executable, "-m", "argosy.engine.supervisor.entrypoint", *args],
        stdin=subprocess.DEVNULL,
        stdout=log_fd,
        stderr=log_fd,
        pass_fds=[ready_fd],
        start_new_session=True,
        cwd="/",
    )
    process.returncode = 0  # the caller waits for it by pid
    return process.pid


def _exec_child(args: Sequence[str], ready_fd: int, log_fd: int) -> NoReturn:
    """In the fork: detach from the client and serve; none of the client's frames is unwound."""
    code = 1
    try:
        _detach_from_client(ready_fd, log_fd)
        from argosy.engine.supervisor.entrypoint import main  # noqa: PLC0415 - not needed by the client

        code = main(args)
    except BaseException:  # the process exits here; the log gets the traceback
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _detach_from_client(ready_fd: int, log_fd: int) -> None:
    """Leave the client's session, signals, descriptors and working directory, as an exec would."""
    os.setsid()
    for handled in signal.valid_signals():
        if callable(signal.getsignal(handled)):
            signal.signal(handled, signal.SIG_DFL)
    # A Ctrl-C sent before setsid was meant for the client.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null_fd = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((null_fd, log_fd, log_fd)):
        os.dup2(source, number)
    close_other_descriptors(ready_fd)
    cwd = os.getcwd()
    if sys.path and sys.path[0] in ("", cwd) and cwd != _SOURCE_DIR:  # added by `python -m argosy`
        del sys.path[0]
    os.chdir("/")
