"""The supervisor's process, begun by its client in a session of its own.

It is a fork of the client, which has half of what a supervisor loads: a fresh interpreter would take twice
as long to its first word. A client with threads is not forked; it starts a fresh interpreter.
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

from argosy.engine.process import close_all_but

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCE = str(Path(__file__).resolve().parents[2])
_ENDING = (signal.SIGINT, signal.SIGTERM)


def begin(words: Sequence[str], told: int, log: int) -> int:
    """Begin `argosy.engine.serve` with these words and return its process number; the caller waits for it.

    told: the descriptor at which it says that it is ready, the only one that it keeps. log: where it writes.
    Raises OSError: there can be no more processes.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        return _spawn(words, told, log)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # whoever reads it has gone: that is told by who writes next
            stream.flush()
    pid = 0
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        try:
            pid = os.fork()
            if pid == 0:
                _become(words, told, log)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except KeyboardInterrupt:  # it came in between
        if pid:
            end(pid)
        raise
    return pid


def end(pid: int) -> None:
    """End what `begin` has begun; whatever it has adopted by then runs on."""
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)


def _spawn(words: Sequence[str], told: int, log: int) -> int:
    process = subprocess.Popen(
        [sys.executable, "-m", "argosy.engine.serve", *words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[told],
        start_new_session=True,
        cwd="/",
    )
    process.returncode = 0  # it is waited for by its number
    return process.pid


def _become(words: Sequence[str], told: int, log: int) -> NoReturn:
    """In the fork: leave what is the client's, and serve. Nothing of the client's is unwound."""
    code = 1
    try:
        _leave(told, log)
        from argosy.engine.serve import main  # noqa: PLC0415 - the client has no need of it

        code = main(words)
    except BaseException:  # of a process that ends here: told in its log
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _leave(told: int, log: int) -> None:
    """Leave the client's session, signals, descriptors and folder, as a program that it started would."""
    os.setsid()
    for handled in signal.valid_signals():
        if callable(signal.getsignal(handled)):
            signal.signal(handled, signal.SIG_DFL)
    # A Ctrl-C from before there was a session of its own is the client's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((nothing, log, log)):
        os.dup2(source, number)
    close_all_but(told)
    here = os.getcwd()
    if sys.path and sys.path[0] in ("", here) and here != _SOURCE:  # of `python -m argosy`
        del sys.path[0]
    os.chdir("/")
