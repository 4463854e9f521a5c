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

from argosy.engine import process
from argosy.engine.ownlog import last_word, turn_over
from argosy.engine.plan import handed_on
from argosy.engine.remains import hub_in_proc
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from argosy.engine.diary import Diary
    from argosy.engine.folder import Folder

_MARK_BYTES: Final = 512  # written over in one piece, blanks and all
_GRACE_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.2
_MOST_PAUSE_S: Final = 30.0
_STEADY_S: Final = 60.0  # after which what it was that ended the one before is over


class HubMark(msgspec.Struct, frozen=True):
    """What a hub says of itself in its lock file. url: of its page, empty until it listens."""

    pid: int
    url: str = ""


def running_hub(lock: Path) -> HubMark | None:
    """Return the hub that holds this lock, None when nobody does."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(os.read(file, 4096), type=HubMark)
    finally:
        os.close(file)
    return None


def living_hub(folder: Folder) -> bool:
    """Return whether the fleet has a hub that lives; by /proc where the state folder was deleted."""
    if folder.lock.exists():
        return running_hub(folder.hub_lock) is not None
    return hub_in_proc(folder) is not None


def hold_lock(lock: Path) -> None:
    """Become the hub of this lock, for as long as this process lives.

    Raises RefusedError: another one is.
    """
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        mark = running_hub(lock)
        who = f"pid {mark.pid}, {mark.url}" if mark else "it holds the lock"
        message = f"the fleet's hub runs already ({who})"
        raise RefusedError(
            Fault(str(lock), "hub-held", message, "`argosy down` ends it with the fleet")
        ) from None
    say_hub(lock, "", file)


def say_hub(lock: Path, url: str, file: int | None = None) -> None:
    """Write who the hub is and where its page is; for the process that holds the lock."""
    text = msgspec.json.encode(HubMark(os.getpid(), url))
    target = os.open(lock, os.O_WRONLY | os.O_CLOEXEC) if file is None else file
    os.pwrite(target, text.ljust(_MARK_BYTES), 0)
    if file is None:
        os.close(target)


class Companion:
    """One fleet's hub, for its supervisor."""

    def __init__(self, folder: Folder, loop: asyncio.AbstractEventLoop, diary: Diary) -> None:
        self._folder = folder
        self._loop = loop
        self._diary = diary
        self._words: list[str] = []
        self._environ: dict[str, str] = {}
        self._pid = 0
        self._pidfd = -1
        self._gone = asyncio.Event()
        self._pause_s = _FIRST_PAUSE_S
        self._losses = 0  # one soon after the other
        self._loss = ""  # what is known of the last one
        self._log_began = 0
        self._began_s = 0.0
        self._again: asyncio.TimerHandle | None = None
        self._kill_later: asyncio.TimerHandle | None = None
        self._adopt()

    def start(self, fleet_path: str, environ: Mapping[str, str]) -> None:
        """Have a hub run from now on; one that runs already is left as it is."""
        self._words = [sys.executable, "-m", "argosy", "hub", fleet_path]
        self._environ = handed_on(environ)
        if self._pidfd < 0 and not self._adopt():
            self._spawn()

    def end_lost(self) -> None:
        """End a hub whose lock, and all that it had recorded, was deleted; a start waits until it is gone."""
        lost = hub_in_proc(self._folder) if self._pidfd < 0 else None
        pidfd = process.open_process(lost) if lost is not None else None
        if lost is None or pidfd is None:
            return
        self._diary.note("hub-lost", pid=lost.pid, text="its state folder was deleted")
        self._watch(lost.pid, pidfd)
        process.send_signal(pidfd, signal.SIGTERM)
        self._kill_later = self._loop.call_later(_GRACE_S, process.send_signal, pidfd, signal.SIGKILL)

    async def stop(self) -> None:
        """End the hub, and return when it has ended."""
        self._words = []
        if self._again:
            self._again.cancel()
        if self._pidfd < 0 and not self._adopt():
            return
        gone = self._gone
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(gone.wait(), _GRACE_S)
                return

    def close(self) -> None:
        """Let go of the hub, which lives on."""
        self._words = []
        if self._again:
            self._again.cancel()
        self._forget()

    def _adopt(self) -> bool:
        """Watch the hub that an earlier supervisor started, if there is one."""
        mark = running_hub(self._folder.hub_lock)
        if mark is None:
            return False
        try:
            self._watch(mark.pid, os.pidfd_open(mark.pid))
        except ProcessLookupError:
            return False
        return True

    def _spawn(self) -> None:
        try:
            turn_over(self._folder.hub_log)
            with open(self._folder.hub_log, "ab") as log:
                self._log_began = log.tell()
                started = subprocess.Popen(
                    self._words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environ,
                    start_new_session=True,
                )
        except OSError as error:
            self._losses += 1
            self._loss = f"it cannot be started: {error}"
            self._diary.note("no-hub", text=self._loss)
            self._later()
            return
        self._diary.note("hub", pid=started.pid)
        self._watch(started.pid, os.pidfd_open(started.pid))
        started.returncode = 0  # it is waited for by its pidfd, not by its Popen

    def trouble(self) -> str:
        """Return why the hub that is to run does not, empty where it does or has only just been started."""
        if not self._loss or not self._words:
            return ""
        mark = running_hub(self._folder.hub_lock)
        if mark is not None and mark.url:
            return ""
        times = "once" if self._losses == 1 else f"{self._losses} times"
        return f"it ended {times}, last with: {self._loss} (`{self._folder.hub_log}` tells more)"

    def _watch(self, pid: int, pidfd: int) -> None:
        self._pid, self._pidfd = pid, pidfd
        self._began_s = self._loop.time()
        self._gone = asyncio.Event()
        self._loop.add_reader(pidfd, self._on_exit)

    def _on_exit(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        pid = self._pid
        self._forget()
        self._gone.set()
        if self._words:
            if self._loop.time() > self._began_s + _STEADY_S:
                self._losses, self._pause_s = 0, _FIRST_PAUSE_S
            self._losses += 1
            self._loss = last_word(self._folder.hub_log, self._log_began) or "no word in its log"
            self._diary.note("hub-lost", pid=pid, text=f"{self._loss}; again in {self._pause_s:.1f} s")
            self._later()

    def _later(self) -> None:
        self._again = self._loop.call_later(self._pause_s, self._start_again)
        self._pause_s = min(_MOST_PAUSE_S, 2 * self._pause_s)

    def _start_again(self) -> None:
        if self._words and self._pidfd < 0 and not self._adopt():
            self._spawn()

    def _forget(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._kill_later:
            self._kill_later.cancel()
        self._pid, self._pidfd = 0, -1
