"""The hub process of a fleet: started once agents are ready, found again by its lock, stopped with the fleet.

It runs `argosy hub` in a session of its own, so that it outlives the supervisor. It holds its lock file
for its whole life; the file contains its pid and the URL of its page.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from argosy.engine.inventory.leftover_processes import find_hub_process
from argosy.engine.logs.log_file import last_error_line, rotate_log
from argosy.engine.plan.process_plan import inherited_environment
from argosy.engine.process import os_process
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from argosy.engine.state.event_log import EventLog
    from argosy.engine.state.state_dir import StateDir

_RECORD_BYTES: Final = 512  # padded with blanks, so that one write replaces the record
_STOP_TIMEOUT_S: Final = 5.0
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MAX_S: Final = 30.0
_BACKOFF_RESET_S: Final = 60.0  # a hub that ran so long resets the backoff


class HubRecord(msgspec.Struct, frozen=True):
    """The contents of a hub's lock file. url: of its page, empty until it listens."""

    pid: int
    url: str = ""


def find_running_hub(lock: Path) -> HubRecord | None:
    """Return the hub that holds this lock, or None."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(os.read(file, 4096), type=HubRecord)
    finally:
        os.close(file)
    return None


def is_hub_running(state_dir: StateDir) -> bool:
    """Return whether the fleet's hub is alive; by /proc where the state directory was deleted."""
    if state_dir.supervisor_lock.exists():
        return find_running_hub(state_dir.hub_lock) is not None
    return find_hub_process(state_dir) is not None


def acquire_hub_lock(lock: Path) -> None:
    """Become the hub of this lock, for as long as this process lives.

    Raises RefusedError: another hub holds it.
    """
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        record = find_running_hub(lock)
        holder = f"pid {record.pid}, {record.url}" if record else "it holds the lock"
        message = f"the fleet's hub is already running ({holder})"
        raise RefusedError(
            Fault(str(lock), "hub-already-running", message, "`argosy down` ends it with the fleet")
        ) from None
    write_hub_record(lock, "", file)


def write_hub_record(lock: Path, url: str, file: int | None = None) -> bool:
    """Write the pid and URL of the hub, in the process that holds the lock.

    Returns whether there was space: a new lock file on a full disk has none.
    """
    text = msgspec.json.encode(HubRecord(os.getpid(), url))
    try:
        target = os.open(lock, os.O_WRONLY | os.O_CLOEXEC) if file is None else file
        try:
            return os.pwrite(target, text.ljust(_RECORD_BYTES), 0) == _RECORD_BYTES
        finally:
            if file is None:
                os.close(target)
    except OSError:
        return False


class HubProcess:
    """The hub of one fleet, as its supervisor sees it."""

    def __init__(self, state_dir: StateDir, loop: asyncio.AbstractEventLoop, event_log: EventLog) -> None:
        self._state_dir = state_dir
        self._loop = loop
        self._event_log = event_log
        self._command: list[str] = []
        self._environ: dict[str, str] = {}
        self._pid = 0
        self._pidfd = -1
        self._exited = asyncio.Event()
        self._backoff_s = _BACKOFF_FIRST_S
        self._failure_count = 0  # in a row
        self._last_failure = ""
        self._log_start = 0
        self._started_s = 0.0
        self._restart_timer: asyncio.TimerHandle | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._adopt()

    def start(self, fleet_path: str, environ: Mapping[str, str]) -> None:
        """Keep a hub running from now on; one that already runs is left as it is."""
        self._command = [sys.executable, "-m", "argosy", "hub", fleet_path]
        self._environ = inherited_environment(environ)
        if self._pidfd < 0 and not self._adopt():
            self._spawn()

    def stop_orphaned(self) -> None:
        """Terminate a hub whose lock and database were deleted; a start waits until it has exited."""
        orphan = find_hub_process(self._state_dir) if self._pidfd < 0 else None
        pidfd = os_process.open_process(orphan) if orphan is not None else None
        if orphan is None or pidfd is None:
            return
        self._event_log.append("hub-exited", pid=orphan.pid, text="its state directory was deleted")
        self._watch(orphan.pid, pidfd)
        self._terminate()

    def replace(self, fleet_path: str, environ: Mapping[str, str]) -> None:
        """Replace the running hub: its database was deleted."""
        if self._pidfd >= 0:
            self.start(fleet_path, environ)
            self._terminate()

    def _terminate(self) -> None:
        os_process.send_signal(self._pidfd, signal.SIGTERM)
        self._kill_timer = self._loop.call_later(
            _STOP_TIMEOUT_S, os_process.send_signal, self._pidfd, signal.SIGKILL
        )

    async def stop(self) -> None:
        """Terminate the hub, and return when it has exited."""
        self._command = []
        if self._restart_timer:
            self._restart_timer.cancel()
        if self._pidfd < 0 and not self._adopt():
            return
        exited = self._exited
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(exited.wait(), _STOP_TIMEOUT_S)
                return

    def close(self) -> None:
        """Release the hub, which keeps running."""
        self._command = []
        if self._restart_timer:
            self._restart_timer.cancel()
        self._release()

    def _adopt(self) -> bool:
        """Watch the hub that an earlier supervisor started, if there is one."""
        record = find_running_hub(self._state_dir.hub_lock)
        if record is None:
            return False
        pidfd = os_process.open_pid(record.pid)
        if pidfd is None:
            return False
        self._watch(record.pid, pidfd)
        return True

    def _spawn(self) -> None:
        try:
            rotate_log(self._state_dir.hub_log)
            with open(self._state_dir.hub_log, "ab") as log:
                self._log_start = log.tell()
                started = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environ,
                    start_new_session=True,
                )
        except OSError as error:
            self._failure_count += 1
            self._last_failure = f"it cannot be started: {error}"
            self._event_log.append("hub-start-failed", text=self._last_failure)
            self._schedule_restart()
            return
        self._event_log.append("hub-started", pid=started.pid)
        pidfd = os_process.open_pid(started.pid)
        assert pidfd is not None, "an unreaped child keeps its pid"
        self._watch(started.pid, pidfd)
        started.returncode = 0  # reaped by its pidfd, not by its Popen

    def describe_problem(self) -> str:
        """Return why the requested hub does not run; empty when it runs or was only just started."""
        if not self._last_failure or not self._command:
            return ""
        record = find_running_hub(self._state_dir.hub_lock)
        if record is not None and record.url:
            return ""
        times = "once" if self._failure_count == 1 else f"{self._failure_count} times"
        return f"it exited {times}, last with: {self._last_failure} (see `{self._state_dir.hub_log}`)"

    def _watch(self, pid: int, pidfd: int) -> None:
        self._pid, self._pidfd = pid, pidfd
        self._started_s = self._loop.time()
        self._exited = asyncio.Event()
        self._loop.add_reader(pidfd, self._on_exit)

    def _on_exit(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        pid = self._pid
        self._release()
        self._exited.set()
        if self._command:
            if self._loop.time() > self._started_s + _BACKOFF_RESET_S:
                self._failure_count, self._backoff_s = 0, _BACKOFF_FIRST_S
            self._failure_count += 1
            self._last_failure = (
                last_error_line(self._state_dir.hub_log, self._log_start) or "no error in its log"
            )
            self._event_log.append(
                "hub-exited", pid=pid, text=f"{self._last_failure}; restart in {self._backoff_s:.1f} s"
            )
            self._schedule_restart()

    def _schedule_restart(self) -> None:
        self._restart_timer = self._loop.call_later(self._backoff_s, self._restart)
        self._backoff_s = min(_BACKOFF_MAX_S, 2 * self._backoff_s)

    def _restart(self) -> None:
        if self._command and self._pidfd < 0 and not self._adopt():
            self._spawn()

    def _release(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._kill_timer:
            self._kill_timer.cancel()
        self._pid, self._pidfd = 0, -1
