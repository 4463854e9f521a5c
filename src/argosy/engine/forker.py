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
from typing import TYPE_CHECKING

from argosy.engine.bootstrap import exec_program, settle
from argosy.engine.order import (
    NOT_EXECUTABLE,
    NOT_LET_GO,
    Birth,
    Declined,
    Exit,
    ForkerEvent,
    NoBirth,
    pack_event,
    receive_order,
)
from argosy.engine.process import boot_id, handled_signals, kill_group_of_zombie, next_zombie, open_pid

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from argosy.engine.order import Order


class Forker:
    """The loop over orders and exits; `channel` is the socket to the supervisor.

    descriptors: those of the loop itself.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._boot = boot_id()
        self._handled: list[int] = []
        self.descriptors = {0, 1, 2, channel.fileno()}

    def run(self) -> None:
        """Fork and report until the supervisor is gone."""
        wake, wake_in = os.pipe()
        self.descriptors |= {wake, wake_in}
        os.set_blocking(wake, False)
        os.set_blocking(wake_in, False)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._handled = handled_signals()
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            ready = dict(poll.poll(self.patience_ms()))
            if not ready:
                self.rest()
            if wake in ready:
                _drain(wake)
                self._reap()
            if self._channel.fileno() in ready and not self._take():
                return

    def _take(self) -> bool:
        """Carry out one order; return False when the supervisor is gone."""
        received = receive_order(self._channel)
        if received is None:
            return False
        order, output, sent_ns = received
        try:
            obstacle = self.obstacle(order, output, sent_ns)
            return self._tell(obstacle) if obstacle else self.bear(order, output)
        finally:
            os.close(output)

    def patience_ms(self) -> int | None:
        """Return after how long without an order or an exit to `rest`; None: never."""
        return None

    def rest(self) -> None:
        """Do what waits for a moment in which nothing else is to be done."""

    def obstacle(self, order: Order, output: int, sent_ns: int) -> Declined | None:
        """Return why an order, sent at this time of CLOCK_MONOTONIC, is not carried out; None: it is."""
        return None

    def become(self, order: Order, lease: int | None) -> NoReturn:
        """In the settled child: turn into the program."""
        try:
            exec_program(order)
        finally:
            os._exit(NOT_EXECUTABLE)  # nothing may unwind into the forker's loop

    def bear(self, order: Order, output: int) -> bool:
        """Fork a child for this order; return False when the supervisor is gone."""
        gate, gate_in = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:  # no more processes or memory: others may still be forked later
            os.close(gate)
            os.close(gate_in)
            return self._tell(NoBirth(order.incarnation, error.strerror or str(error)))
        if pid == 0:
            os.close(gate_in)
            self.live(lambda: (order, output) if os.read(gate, 1) else None)
        try:
            return self.report_birth(order.incarnation, pid, lambda: os.write(gate_in, b"g"))
        finally:
            os.close(gate)
            os.close(gate_in)

    def live(self, wait: Callable[[], tuple[Order, int] | None]) -> NoReturn:
        """In a child: become what it is ordered once it is let go.

        wait(): returns the order and its output then; None when the forker has died over it.
        """
        is_settled = False
        try:
            signal.set_wakeup_fd(-1)
            self._channel.close()
            ordered = wait()
            if ordered is not None:
                order, output = ordered
                lease = settle(order, output, self._boot, self._handled)
                is_settled = True
        finally:
            if not is_settled:
                os._exit(NOT_LET_GO)  # nothing may unwind into the forker's loop
        self.become(order, lease)

    def report_birth(self, incarnation: int, pid: int, let_go: Callable[[], object]) -> bool:
        """Tell of a child, then let it go; return False when the supervisor is gone."""
        pidfd = open_pid(pid)
        assert pidfd is not None, "a child that was not reaped has its number"
        try:
            if not self._tell(Birth(incarnation, pid), pidfd):
                return False
        finally:
            os.close(pidfd)
        try:
            let_go()
        except (BrokenPipeError, ConnectionResetError):
            return True  # it was killed meanwhile; its exit is reported like any other
        return True

    def forget(self, pid: int) -> bool:
        """Return whether a child that has ended is one of which nobody was told."""
        return False

    def _tell(self, event: ForkerEvent, *descriptors: int) -> bool:
        """Send an event; return False when the supervisor is gone."""
        try:
            socket.send_fds(self._channel, [pack_event(event)], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _reap(self) -> None:
        """Report every child that has ended, its group killed while the zombie keeps the number.

        Told first and reaped after: should this process die in between, the zombie falls to the
        supervisor, and an exit told twice is no harm.
        """
        while (found := next_zombie()) is not None:
            pid, status = found
            if self.forget(pid):
                os.waitpid(pid, 0)
                continue
            kill_group_of_zombie(pid)
            if not self._tell(Exit(pid, status)):
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
