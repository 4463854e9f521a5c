"""The hub beside the fleet: started once the fleet is up, found again by its lock, ended with the fleet.

It is a process of its own, `argosy hub`, in a session of its own, so that it outlives the supervisor. What it
is told is in its lock file, which it holds for as long as it lives: its pid, and where its page is.
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

from argosy.engine.logs.daemon_log import last_error_line, rotate_log
from argosy.engine.process import os_process
from argosy.engine.process.leftover_processes import find_hub_process
from argosy.engine.unit.process_plan import inherited_environment
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from argosy.engine.state.event_log import EventLog
    from argosy.engine.state.state_dir import StateDir

_RECORD_BYTES: Final = 512  # written over in one piece, blanks and all
_STOP_TIMEOUT_S: Final = 5.0
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MAX_S: Final = 30.0
_BACKOFF_RESET_S: Final = 60.0  # after which what it was that ended the one before is over


class HubRecord(msgspec.Struct, frozen=True):
    """What a hub says of itself in its lock file. url: of its page, empty until it listens."""

    pid: int
    url: str = ""


def find_running_hub(lock: Path) -> HubRecord | None:
    """Return the hub that holds this lock, None when nobody does."""
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
    """Return whether the fleet has a hub that lives; by /proc where the state folder was deleted."""
    if state_dir.supervisor_lock.exists():
        return find_running_hub(state_dir.hub_lock) is not None
    return find_hub_process(state_dir) is not None


def acquire_hub_lock(lock: Path) -> None:
    """Become the hub of this lock, for as long as this process lives.

    Raises RefusedError: another one is.
    """
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        record = find_running_hub(lock)
        holder = f"pid {record.pid}, {record.url}" if record else "it holds the lock"
        message = f"the fleet's hub runs already ({holder})"
        raise RefusedError(
            Fault(str(lock), "hub-already-running", message, "`argosy down` ends it with the fleet")
        ) from None
    write_hub_record(lock, "", file)


def write_hub_record(lock: Path, url: str, file: int | None = None) -> bool:
    """Write who the hub is and where its page is, for the process that holds the lock; return whether there
    is room for it: a lock that is new on a full disk has none.
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
    """One fleet's hub, for its supervisor."""

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
        self._failure_count = 0  # one soon after the other
        self._last_failure = ""  # what is known of the last one
        self._log_start = 0
        self._started_s = 0.0
        self._restart_timer: asyncio.TimerHandle | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._adopt()

    def start(self, fleet_path: str, environ: Mapping[str, str]) -> None:
        """Have a hub run from now on; one that runs already is left as it is."""
        self._command = [sys.executable, "-m", "argosy", "hub", fleet_path]
        self._environ = inherited_environment(environ)
        if self._pidfd < 0 and not self._adopt():
            self._spawn()

    def stop_orphaned(self) -> None:
        """End a hub whose lock, and all that it had recorded, was deleted; a start waits until it is gone."""
        orphan = find_hub_process(self._state_dir) if self._pidfd < 0 else None
        pidfd = os_process.open_process(orphan) if orphan is not None else None
        if orphan is None or pidfd is None:
            return
        self._event_log.append("hub-exited", pid=orphan.pid, text="its state folder was deleted")
        self._watch(orphan.pid, pidfd)
        self._terminate()

    def replace(self, fleet_path: str, environ: Mapping[str, str]) -> None:
        """Have another hub in the place of the one that runs: all that it had recorded was deleted."""
        if self._pidfd >= 0:
            self.start(fleet_path, environ)
            self._terminate()

    def _terminate(self) -> None:
        os_process.send_signal(self._pidfd, signal.SIGTERM)
        self._kill_timer = self._loop.call_later(
            _STOP_TIMEOUT_S, os_process.send_signal, self._pidfd, signal.SIGKILL
        )

    async def stop(self) -> None:
        """End the hub, and return when it has ended."""
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
        """Let go of the hub, which lives on."""
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
        assert pidfd is not None, "a child that was not waited for has its number"
        self._watch(started.pid, pidfd)
        started.returncode = 0  # it is waited for by its pidfd, not by its Popen

    def describe_problem(self) -> str:
        """Return why the hub that is to run does not, empty where it does or has only just been started."""
        if not self._last_failure or not self._command:
            return ""
        record = find_running_hub(self._state_dir.hub_lock)
        if record is not None and record.url:
            return ""
        times = "once" if self._failure_count == 1 else f"{self._failure_count} times"
        return f"it ended {times}, last with: {self._last_failure} (`{self._state_dir.hub_log}` tells more)"

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
                last_error_line(self._state_dir.hub_log, self._log_start) or "no word in its log"
            )
            self._event_log.append(
                "hub-exited", pid=pid, text=f"{self._last_failure}; again in {self._backoff_s:.1f} s"
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
