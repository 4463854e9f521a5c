"""The supervisor's client of a forker process: starts it, sends requests, receives forks and exits.

A forker exits with its supervisor, unless it is stopped or hangs. So each supervisor records the pids
and start times of its forkers, and the next one kills those that still run: afterwards no request of
the previous supervisor can fork a process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from argosy.atomic_file import write_atomic
from argosy.engine.process import os_process
from argosy.engine.process.timers import Timers
from argosy.engine.protocol.fork_protocol import (
    MAX_MESSAGE_BYTES,
    Exited,
    ForkerEvent,
    SpawnDeclined,
    Spawned,
    SpawnFailed,
    SpawnRequest,
    ZygoteReady,
    send_spawn_request,
    unpack_event,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping, Sequence

    from argosy.engine.state.state_dir import StateDir

_SOURCE_DIR = str(Path(__file__).resolve().parents[3])
_SEND_RETRY_S = 0.05
# A forker may be stopped for a moment, for example by a debugger.
_STOPPED_TIMEOUT_S = 1.0
# A fork takes milliseconds; a forker with a request that reports nothing for this long hangs.
_REPLY_TIMEOUT_S = 3.0
# The first reply also includes the start of the interpreter, which is slow on a loaded machine.
_FIRST_REPLY_TIMEOUT_S = 30.0
_BOOTSTRAP_CODE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from argosy.engine.fork.forker import main; main()"
)


# Without site-packages and user settings an interpreter starts in 10 ms and forks in 1 ms.
BARE_INTERPRETER_ARGS = ("-I", "-S", "-c", _BOOTSTRAP_CODE)


class ForkerEventHandler(Protocol):
    """Receives the events of a forker; called from the event loop."""

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """A child was forked; takes over the descriptor."""

    def on_spawn_failed(self, failure: SpawnFailed) -> None:
        """A child could not be forked."""

    def on_exit(self, exited: Exited) -> None:
        """A child has exited."""

    def on_zygote_event(self, event: ZygoteReady | SpawnDeclined) -> None:
        """A zygote is ready or declines a request."""

    def on_forker_lost(self, reason: str) -> None:
        """The forker has died, or was killed for `reason`; it is closed and reaped."""


class ForkerClient:
    """One forker process.

    interpreter_args: the interpreter's options and program; the path of argosy and the channel's
    descriptor number are appended. env: its environment, default this process's.
    extra_descriptors: further descriptors to pass, their numbers appended too.
    Raises OSError: the process cannot be started.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: ForkerEventHandler,
        interpreter_args: Sequence[str] = BARE_INTERPRETER_ARGS,
        env: Mapping[str, str] | None = None,
        extra_descriptors: Sequence[int] = (),
    ) -> None:
        self._loop = loop
        self._handler = handler
        self._unsent_requests: deque[tuple[SpawnRequest, int]] = deque()
        self._pending_incarnations: set[int] = set()
        self._last_event_at = 0.0
        self._has_replied = False
        self._timers = Timers(loop)
        self._loss_reason = ""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        with theirs:
            descriptors = [*extra_descriptors, theirs.fileno()]
            self._process = subprocess.Popen(
                [sys.executable, *interpreter_args, _SOURCE_DIR, *map(str, descriptors)],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
            )
        loop.add_reader(self._channel.fileno(), self.drain)

    @property
    def pid(self) -> int:
        """The forker's pid."""
        return self._process.pid

    def send(self, spawn_request: SpawnRequest, output: int) -> None:
        """Send a request; takes over the descriptor `output`."""
        self._unsent_requests.append((spawn_request, output))
        if not self._pending_incarnations:
            self._last_event_at = self._loop.time()
            self._timers.arm("reply-timeout", self._reply_timeout_s(), self._on_reply_timeout)
        self._pending_incarnations.add(spawn_request.incarnation)
        self._flush()

    def _flush(self) -> None:
        if self._channel.fileno() < 0:
            return
        self._loop.remove_writer(self._channel.fileno())
        while self._unsent_requests:
            spawn_request, output = self._unsent_requests[0]
            try:
                send_spawn_request(self._channel, spawn_request, output)
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._flush)
                return
            except (BrokenPipeError, ConnectionResetError):
                return  # the reader sees the closed channel and reports it
            except OSError:  # too many descriptors open or in flight (ETOOMANYREFS): retry later
                self._loop.call_later(_SEND_RETRY_S, self._flush)
                return
            os.close(output)
            self._unsent_requests.popleft()

    def drain(self) -> None:
        """Read every pending report.

        Also called before a notify message or an exit is handled, so that every pid is known: a
        fork is reported before the child's first instruction.
        """
        while self._channel.fileno() >= 0:
            try:
                data, descriptors, _, _ = socket.recv_fds(
                    self._channel, MAX_MESSAGE_BYTES, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, descriptors = b"", []
            if not data:
                self._report_lost("ended")
                return
            self._handle_event(unpack_event(data), descriptors)

    def check_process(self) -> None:
        """Check whether the forker has exited or was stopped; called on SIGCHLD.

        Detects the exit even while a fresh child still holds the forker's end of the channel.
        """
        if self._channel.fileno() < 0:
            return
        options = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PID, self.pid, options)
        if found is None:
            return
        if found.si_code == os.CLD_STOPPED:
            self._timers.arm("stopped-timeout", _STOPPED_TIMEOUT_S, self._on_stopped_timeout)
        else:
            self._drain_and_report_lost("ended")

    def _on_stopped_timeout(self) -> None:
        """Kill it if it is still stopped: it reports no exits and its requests wait."""
        found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            self.kill(f"was stopped for {_STOPPED_TIMEOUT_S:.0f} s")

    def _on_reply_timeout(self) -> None:
        """Kill it if it does not answer. Pending reports are read first: this process may have stalled."""
        self.drain()
        if self._channel.fileno() < 0 or not self._pending_incarnations:
            return
        timeout_s = self._reply_timeout_s()
        left_s = self._last_event_at + timeout_s - self._loop.time()
        if left_s > 0:
            self._timers.arm("reply-timeout", left_s, self._on_reply_timeout)
        else:
            self.kill(f"sent no reply for {timeout_s:.0f} s")

    def _reply_timeout_s(self) -> float:
        return _REPLY_TIMEOUT_S if self._has_replied else _FIRST_REPLY_TIMEOUT_S

    def kill(self, reason: str) -> None:
        """Kill it; its children are reparented to this process."""
        self._process.kill()
        self._process.wait()
        self._drain_and_report_lost(reason)

    def _drain_and_report_lost(self, reason: str) -> None:
        self._loss_reason = reason
        self.drain()
        if self._channel.fileno() >= 0:
            self._report_lost(reason)

    def _report_lost(self, reason: str) -> None:
        self.close()
        self._handler.on_forker_lost(self._loss_reason or reason)

    def _handle_event(self, event: ForkerEvent, descriptors: list[int]) -> None:
        self._last_event_at = self._loop.time()
        self._has_replied = True
        if isinstance(event, Spawned | SpawnFailed | SpawnDeclined):
            self._pending_incarnations.discard(event.incarnation)
        if isinstance(event, Spawned):
            self._handler.on_spawned(event, descriptors[0])
        elif isinstance(event, Exited):
            self._handler.on_exit(event)
        elif isinstance(event, SpawnFailed):
            self._handler.on_spawn_failed(event)
        else:
            self._handler.on_zygote_event(event)

    def close(self) -> None:
        """Close the channel and kill the forker; its children keep running.

        A child that was not released yet exits with it.
        """
        if self._channel.fileno() < 0:
            return
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._timers.cancel_all()
        self._channel.close()
        for _, output in self._unsent_requests:
            os.close(output)
        self._unsent_requests.clear()
        self._process.kill()
        self._process.wait()


class _ForkerRecord(msgspec.Struct, frozen=True):
    """Pids and start times of one boot. version: later versions add keys."""

    boot: str
    forkers: list[tuple[int, int]]
    version: int = 1


def record_forkers(state_dir: StateDir, pids: Iterable[int]) -> None:
    """Record the running forkers for the next supervisor; on a full disk the record is lost."""
    found = [(pid, stat.start_ticks) for pid in pids if (stat := os_process.read_stat(pid)) is not None]
    record = _ForkerRecord(os_process.boot_id().hex(), found)
    with contextlib.suppress(OSError):
        write_atomic(state_dir.forkers_file, msgspec.json.encode(record))


def kill_stale_forkers(state_dir: StateDir) -> list[int]:
    """Kill the forkers that an earlier supervisor has left; return their pids."""
    try:
        record = msgspec.json.decode(state_dir.forkers_file.read_bytes(), type=_ForkerRecord)
    except (OSError, msgspec.DecodeError):
        return []
    killed = []
    for pid, started in record.forkers if record.boot == os_process.boot_id().hex() else ():
        pidfd = os_process.open_process(os_process.ProcessIdentity(pid, started))
        if pidfd is not None:
            os_process.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            killed.append(pid)
    return killed
