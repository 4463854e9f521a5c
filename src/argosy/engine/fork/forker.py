"""The forker: a small interpreter with one thread that forks agents and reports their exits.

It is a child of the supervisor, started as a fresh interpreter. For each request it forks a child,
reports the fork with a pidfd, and only then releases the child by a byte on a private pipe; so the
supervisor knows every agent before its first instruction. It exits when the supervisor's end of the
channel is closed; its children are then reparented to the nearest subreaper.

Runs in an interpreter without site-packages: it imports only the standard library and argosy.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING

from argosy.engine.fork.child_setup import exec_program, setup_child
from argosy.engine.process.os_process import (
    boot_id,
    handled_signals,
    kill_group_of_zombie,
    next_zombie,
    open_pid,
)
from argosy.engine.protocol.fork_protocol import (
    NEVER_RELEASED,
    NOT_EXECUTABLE,
    Exited,
    ForkerEvent,
    SpawnDeclined,
    Spawned,
    SpawnFailed,
    pack_event,
    receive_spawn_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from argosy.engine.protocol.fork_protocol import SpawnRequest


class Forker:
    """The loop over requests and exits; `channel` is the socket to the supervisor.

    descriptors: the descriptors that the loop itself uses.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._boot = boot_id()
        self._handled: list[int] = []
        self.descriptors = {0, 1, 2, channel.fileno()}

    def run(self) -> None:
        """Fork and report until the supervisor is gone."""
        wake_reader, wake_writer = os.pipe()
        self.descriptors |= {wake_reader, wake_writer}
        os.set_blocking(wake_reader, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._handled = handled_signals()
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(wake_reader, select.POLLIN)
        while True:
            ready = dict(poll.poll(self.idle_timeout_ms()))
            if not ready:
                self.on_idle()
            if wake_reader in ready:
                _drain(wake_reader)
                self._reap()
            if self._channel.fileno() in ready and not self._handle_request():
                return

    def _handle_request(self) -> bool:
        """Carry out one request; return False when the supervisor is gone."""
        received = receive_spawn_request(self._channel)
        if received is None:
            return False
        spawn_request, output, sent_ns = received
        try:
            declined = self.check_request(spawn_request, output, sent_ns)
            return self._send_event(declined) if declined else self.fork_child(spawn_request, output)
        finally:
            os.close(output)

    def idle_timeout_ms(self) -> int | None:
        """Return how long to wait for a request or an exit before calling `on_idle`; None: no limit."""
        return None

    def on_idle(self) -> None:
        """Do deferred work; called when there are no requests or exits."""

    def check_request(self, spawn_request: SpawnRequest, output: int, sent_ns: int) -> SpawnDeclined | None:
        """Return why a request is declined, or None. sent_ns: when it was sent, by CLOCK_MONOTONIC."""
        return None

    def run_child(self, spawn_request: SpawnRequest, lease: int | None) -> NoReturn:
        """In the child, after its setup: exec the program."""
        try:
            exec_program(spawn_request)
        finally:
            os._exit(NOT_EXECUTABLE)  # no exception may unwind into the forker's loop

    def fork_child(self, spawn_request: SpawnRequest, output: int) -> bool:
        """Fork a child for this request; return False when the supervisor is gone."""
        gate_reader, gate_writer = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:  # out of processes or memory: a later fork may succeed
            os.close(gate_reader)
            os.close(gate_writer)
            return self._send_event(SpawnFailed(spawn_request.incarnation, error.strerror or str(error)))
        if pid == 0:
            os.close(gate_writer)
            self.child_main(lambda: (spawn_request, output) if os.read(gate_reader, 1) else None)
        try:
            return self.report_spawned(spawn_request.incarnation, pid, lambda: os.write(gate_writer, b"g"))
        finally:
            os.close(gate_reader)
            os.close(gate_writer)

    def child_main(self, wait_request: Callable[[], tuple[SpawnRequest, int] | None]) -> NoReturn:
        """In a child: run the requested program once the child is released.

        wait_request(): returns the request and its output then; None when the forker has died.
        """
        is_set_up = False
        try:
            signal.set_wakeup_fd(-1)
            self._channel.close()
            received = wait_request()
            if received is not None:
                spawn_request, output = received
                lease = setup_child(spawn_request, output, self._boot, self._handled)
                is_set_up = True
        finally:
            if not is_set_up:
                os._exit(NEVER_RELEASED)  # no exception may unwind into the forker's loop
        self.run_child(spawn_request, lease)

    def report_spawned(self, incarnation: int, pid: int, release: Callable[[], object]) -> bool:
        """Report a child, then release it; return False when the supervisor is gone."""
        pidfd = open_pid(pid)
        assert pidfd is not None, "a child that was not reaped keeps its pid"
        try:
            if not self._send_event(Spawned(incarnation, pid), pidfd):
                return False
        finally:
            os.close(pidfd)
        try:
            release()
        except (BrokenPipeError, ConnectionResetError):
            return True  # it was killed meanwhile; its exit is reported like any other
        return True

    def is_unreported(self, pid: int) -> bool:
        """Return whether an exited child was never reported."""
        return False

    def _send_event(self, event: ForkerEvent, *descriptors: int) -> bool:
        """Send an event; return False when the supervisor is gone."""
        try:
            socket.send_fds(self._channel, [pack_event(event)], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _reap(self) -> None:
        """Report every exited child, after killing its group while the zombie still holds the pid.

        The exit is reported first and reaped after: if this process dies in between, the zombie is
        reparented to the supervisor, and an exit reported twice is harmless.
        """
        while (found := next_zombie()) is not None:
            pid, status = found
            if self.is_unreported(pid):
                os.waitpid(pid, 0)
                continue
            kill_group_of_zombie(pid)
            if not self._send_event(Exited(pid, status)):
                return
            os.waitpid(pid, 0)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            pass
    except BlockingIOError:
        return


def main() -> None:
    """Run a forker on the socket whose descriptor number is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Forker(socket.socket(fileno=int(sys.argv[-1]))).run()
