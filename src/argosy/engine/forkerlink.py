"""The supervisor's end of a forker: starts it, sends orders, hears of births and exits."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.engine.order import LARGEST_MESSAGE, Birth, Exit, Order, send_order, unpack_event

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_SOURCE = str(Path(__file__).resolve().parents[2])
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from argosy.engine.forker import main; main()"


class ForkerLink:
    """One forker process. on_birth(birth, pidfd), on_exit(exit) and on_lost() are called from the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_birth: Callable[[Birth, int], None],
        on_exit: Callable[[Exit], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._on_birth, self._on_exit, self._on_lost = on_birth, on_exit, on_lost
        self._unsent: deque[tuple[Order, int]] = deque()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        # A bare interpreter: no site-packages, no user settings; it starts in 10 ms and forks in 1 ms.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE, _SOURCE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        loop.add_reader(self._channel, self.drain)

    @property
    def pid(self) -> int:
        """The forker's process number."""
        return self._process.pid

    def send(self, order: Order, output: int) -> None:
        """Have an agent forked; takes over the descriptor `output`."""
        self._unsent.append((order, output))
        self._flush()

    def _flush(self) -> None:
        while self._unsent:
            order, output = self._unsent[0]
            try:
                send_order(self._channel, order, output)
            except BlockingIOError:
                self._loop.add_writer(self._channel, self._flush)
                return
            except (BrokenPipeError, ConnectionResetError):
                break  # the reader sees the end and calls on_lost
            os.close(output)
            self._unsent.popleft()
        self._loop.remove_writer(self._channel)

    def drain(self) -> None:
        """Take every report that waits; called before any notify message of an unknown pid is judged."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(
                    self._channel, LARGEST_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, descriptors = b"", []
            if not data:
                self.close()
                self._on_lost()
                return
            event = unpack_event(data)
            if isinstance(event, Birth):
                self._on_birth(event, descriptors[0])
            else:
                self._on_exit(event)

    def close(self) -> None:
        """Close the channel, upon which the forker ends, and wait for that."""
        if self._channel.fileno() < 0:
            return
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
        for _, output in self._unsent:
            os.close(output)
        self._unsent.clear()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
            return
        self._process.kill()
        self._process.wait()
