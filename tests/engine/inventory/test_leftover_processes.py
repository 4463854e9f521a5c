"""Leftover processes: what an agent left behind, and what a person started with its variables."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from argosy.engine.inventory.leftover_processes import is_daemon, is_leftover

PRINT_AND_WAIT = "print('here', flush=True); import sys; sys.stdin.read(1)"
TAKE_TERMINAL = "import fcntl, os, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "


@pytest.mark.parametrize("has_terminal", [False, True])
def test_leftover_process_with_terminal_is_not_daemon(has_terminal: bool) -> None:
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", (TAKE_TERMINAL if has_terminal else "") + PRINT_AND_WAIT],
        stdin=slave,
        stdout=subprocess.PIPE,
        env=os.environ | {"NOTIFY_SOCKET": "/there"},
        start_new_session=not has_terminal,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    assert is_leftover(process.pid, "/there")
    assert is_daemon(process.pid) is not has_terminal
    process.kill()
    process.communicate()
    os.close(slave)
    os.close(master)
