"""An agent's process in the supervisor's hands: signals through its pidfd, and the end of an adopted one."""

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
    """One living process; whoever made it closes it.

    A forker tells of the end of its own children; one that is stopped does not, so all are watched here.
    """

    def __init__(self, pid: int, pidfd: int, loop: asyncio.AbstractEventLoop) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self._loop = loop
        self._status_timer: asyncio.TimerHandle | None = None

    def identify(self) -> ProcessIdentity:
        """Return who it is; once it is dead its start is 0, as of no process."""
        return os_process.identify(self._pid, self._pidfd)

    def terminate(self) -> None:
        """Ask it to end."""
        os_process.send_signal(self._pidfd, signal.SIGTERM)
        # A stopped process takes the signal only when it goes on.
        os_process.send_signal(self._pidfd, signal.SIGCONT)

    def signal(self, signal_number: int) -> None:
        """Send it, and it alone, a signal."""
        os_process.send_signal(self._pidfd, signal_number)

    def kill(self) -> None:
        """Kill its process group."""
        os_process.kill_group(self._pidfd)

    def watch(self, on_exit: Callable[[int | None], None]) -> None:
        """Call `on_end(wait status)` once it has ended; its group is killed then."""
        self._loop.add_reader(self._pidfd, self._on_exit, on_exit)

    def _on_exit(self, callback: Callable[[int | None], None]) -> None:
        self._loop.remove_reader(self._pidfd)
        os_process.kill_group(self._pidfd)
        self._await_status(callback, _STATUS_POLL_COUNT)

    def _await_status(self, on_exit: Callable[[int | None], None], polls_left: int) -> None:
        """Take the exit status, from the zombie or from the kernel once its parent has reaped it."""
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
        """Let go of it; it runs on."""
        if self._status_timer is not None:
            self._status_timer.cancel()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
