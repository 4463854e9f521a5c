"""Controls an agent's process through its pidfd: signals, and the exit of an adopted process."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from argosy.engine.process import os_process

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from argosy.engine.process.os_process import ProcessIdentity

_STATUS_POLL_S = 0.01
_STATUS_POLL_COUNT = 10


class PidfdProcess:
    """One living process; the creator closes it.

    A forker reports the exit of its own children, but not while it is stopped, so all are watched here.
    """

    def __init__(self, pid: int, pidfd: int, loop: asyncio.AbstractEventLoop) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self._loop = loop
        self._status_timer: asyncio.TimerHandle | None = None

    def identify(self) -> ProcessIdentity:
        """Return its identity; `start_ticks` is 0 once it is dead."""
        return os_process.identify(self._pid, self._pidfd)

    def terminate(self) -> None:
        """Ask it to exit."""
        os_process.send_signal(self._pidfd, signal.SIGTERM)
        # A stopped process handles the signal only when it is resumed.
        os_process.send_signal(self._pidfd, signal.SIGCONT)

    def signal(self, signal_number: int) -> None:
        """Send a signal to this process alone."""
        os_process.send_signal(self._pidfd, signal_number)

    def kill(self) -> None:
        """Kill its process group."""
        os_process.kill_group(self._pidfd)

    def watch(self, on_exit: Callable[[int | None], None]) -> None:
        """Call `on_exit(wait status)` once it has exited; its group is killed then."""
        self._loop.add_reader(self._pidfd, self._on_exit, on_exit)

    def _on_exit(self, callback: Callable[[int | None], None]) -> None:
        self._loop.remove_reader(self._pidfd)
        os_process.kill_group(self._pidfd)
        self._await_status(callback, _STATUS_POLL_COUNT)

    def _await_status(self, on_exit: Callable[[int | None], None], polls_left: int) -> None:
        """Read the exit status, from the zombie or from the kernel once its parent has reaped it."""
        status = os_process.reaped_exit_status(self._pidfd)
        with contextlib.suppress(OSError):  # too few descriptors
            status = os_process.zombie_status(self._pid) if status is None else status
        if status is None and polls_left:
            self._status_timer = self._loop.call_later(
                _STATUS_POLL_S, self._await_status, on_exit, polls_left - 1
            )
        else:
            on_exit(status)

    def close(self) -> None:
        """Release it; it keeps running."""
        if self._status_timer is not None:
            self._status_timer.cancel()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
