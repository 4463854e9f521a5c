"""The forker: a small interpreter with one thread that forks agents and tells how they ended.

A child of the supervisor, started as a fresh interpreter. For each order it forks a child, reports
the birth with a pidfd, and only then lets the child go on by a byte on a private pipe; so the
supervisor knows of every agent before its first instruction. It ends when the supervisor's end of
the channel is closed; its children then fall to the nearest subreaper.

Imported in an interpreter without site-packages: the standard library and argosy alone.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

from argosy.engine.bootstrap import become_agent
from argosy.engine.order import LARGEST_MESSAGE, Birth, Exit, pack_event, take_order
from argosy.engine.process import boot_id, read_stat


class Forker:
    """The loop over orders and exits; `channel` is the socket to the supervisor."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._boot = boot_id()

    def run(self) -> None:
        """Fork and report until the supervisor is gone."""
        wake, wake_in = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wake_in, False)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if wake in ready:
                _drain(wake)
                self._reap()
            if self._channel.fileno() in ready and not self._take():
                return

    def _take(self) -> bool:
        """Carry out one order; return False when the supervisor is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._channel, LARGEST_MESSAGE, 2, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return False
        if not data:
            return False
        order, output = take_order(descriptors)
        gate, gate_in = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            os.close(gate_in)
            self._channel.close()
            if not os.read(gate, 1):
                os._exit(0)  # the forker died before it could report this child
            become_agent(order, output, self._boot)
        os.close(gate)
        os.close(output)
        try:
            reported = self._report_birth(order.incarnation, pid)
            if reported:
                os.write(gate_in, b"g")
        finally:
            os.close(gate_in)
        return reported

    def _report_birth(self, incarnation: int, pid: int) -> bool:
        found = read_stat(pid)
        assert found is not None, "an unreaped child has a stat file"
        pidfd = os.pidfd_open(pid)
        try:
            socket.send_fds(self._channel, [pack_event(Birth(incarnation, pid, found.started))], [pidfd])
        except (BrokenPipeError, ConnectionResetError):
            return False
        finally:
            os.close(pidfd)
        return True

    def _reap(self) -> None:
        """Report every child that has ended, its group killed while the zombie keeps the number."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            try:
                os.killpg(found.si_pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # the agent had no group of its own yet, or nobody is left in it
            _, status = os.waitpid(found.si_pid, 0)
            try:
                self._channel.send(pack_event(Exit(found.si_pid, status)))
            except (BrokenPipeError, ConnectionResetError):
                return


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
