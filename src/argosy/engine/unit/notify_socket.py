"""Readiness by the sd_notify(3) protocol: one datagram socket per agent, with credentials.

Each agent has its own socket, since a unix datagram queue holds about ten messages: an agent that floods
its socket blocks no other. The kernel attaches the sender's pid (SO_PASSCRED), so a message counts only
when it comes from the process that was started.

A heartbeat that repeats the last one changes nothing. Waking the supervisor for each would be most of the
cost of an idle fleet; so the sockets of ready agents wait in an epoll set of their own, and whatever has
arrived is read in one loop iteration. Agents that are starting or stopping are read at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

_CREDENTIALS = struct.Struct("3i")
_MAX_MESSAGE_BYTES = 8192
_ANCILLARY_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size)
_MAX_PER_DRAIN = 32
# The longest delay of a changed health report.
_BATCH_INTERVAL_S = 0.2


class NotifyBatcher:
    """Calls `drain()` of each readable socket, all in one loop iteration, then pauses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._drains: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def add(self, descriptor: int, drain: Callable[[], None]) -> None:
        """Read a socket together with the others from now on."""
        self._drains[descriptor] = drain
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop reading a socket."""
        if self._drains.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._epoll.fileno(), self._drain_ready)

    def _drain_ready(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._timer = self._loop.call_later(_BATCH_INTERVAL_S, self._listen)
        for descriptor, _ in self._epoll.poll(0):
            drain = self._drains.get(descriptor)
            if drain is not None:  # else an earlier message has removed it
                drain()

    def close(self) -> None:
        """Stop reading all sockets."""
        if self._timer is not None:
            self._timer.cancel()
        else:
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


class NotifySocket:
    """Bound by the supervisor; calls `on_message(sender pid, fields)` for each datagram.

    Messages are read at once; after `batch_reads` together with those of others, until `read_immediately`.
    """

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        batcher: NotifyBatcher,
        on_message: Callable[[int, dict[str, str]], None],
    ) -> None:
        self._path = str(path)
        self._loop = loop
        self._batcher = batcher
        self._is_batched = False
        self._on_message = on_message
        self._last = b""  # most messages repeat the last one
        self._fields: dict[str, str] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        os.fchmod(self._socket.fileno(), 0o600)  # the bound file gets the mode of its socket
        try:
            self._socket.bind(self._path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            os.unlink(self._path)  # left by a supervisor that was killed
            self._socket.bind(self._path)
        self._bound_stat = os.stat(self._path)
        # By number: asyncio formats the object in an error, and the repr of a socket makes system calls.
        loop.add_reader(self._socket.fileno(), self.drain)

    def batch_reads(self) -> None:
        """Read it together with the sockets of other ready agents."""
        if not self._is_batched:
            self._is_batched = True
            self._loop.remove_reader(self._socket.fileno())
            self._batcher.add(self._socket.fileno(), self.drain)

    def read_immediately(self) -> None:
        """Read each message as soon as it arrives."""
        if self._is_batched:
            self._is_batched = False
            self._batcher.remove(self._socket.fileno())
            self._loop.add_reader(self._socket.fileno(), self.drain)

    def drain(self) -> None:
        """Read what waits, but not more than a queue holds: a flood must not block the loop."""
        for _ in range(_MAX_PER_DRAIN):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_MAX_MESSAGE_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    pid, _, _ = _CREDENTIALS.unpack(value[: _CREDENTIALS.size])
                    if data != self._last:
                        self._last, self._fields = data, parse_fields(data)
                    self._on_message(pid, self._fields)

    def close(self) -> None:
        """Close the socket and remove its file."""
        self.read_immediately()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        # Another supervisor may have bound its own socket there.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), self._bound_stat):
                os.unlink(self._path)


def parse_fields(data: bytes) -> dict[str, str]:
    """Return the `KEY=value` lines of a notification; other lines are skipped."""
    fields = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        key, found, value = line.partition("=")
        if found:
            fields[key] = value
    return fields
