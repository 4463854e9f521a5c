"""One end of a Unix stream between two processes of this machine, under the same messages as ZeroMQ.

ZeroMQ passes each message through a thread of its own at both ends. Here a message is one system
call of the thread that sends it and one of the thread that takes it, several small ones that
follow each other are taken by one call, and the kernel tells at once that the other end is gone.

    0   u32     bytes of the body (all numbers little-endian)
    4   u32     number of buffers
    8   u32 ..  bytes of each buffer
        the body, then the buffers
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from argosy.wire.arrival import ArrivalBudget, ArrivingMessage
from argosy.wire.codec import MESSAGE_BYTES
from argosy.wire.frame import Bytes
from argosy.wire.reactor import Reactor

READ_BYTES: Final = 64 * 1024
KERNEL_BYTES: Final = 2 * 1024 * 1024  # on their way, where the machine allows it: a large array in one go
MOST_BUFFERS: Final = 0xFFFF
LINGER_S: Final = 0.5
BRIEF_S: Final = 0.002

_JOINED_BYTES: Final = 32 * 1024  # up to there copying a body behind its prelude beats a vector
_VECTOR: Final = 64  # parts in one system call, well below IOV_MAX
_BRIEF: Final = struct.pack("@ll", 0, int(BRIEF_S * 1e6))
_PRELUDE: Final = struct.Struct("<II")
_PRELUDE_BYTES: Final = _PRELUDE.size
_UNREADABLE: Final = "it sent what cannot be read"
_GONE: Final = "its connection ended"
_NOWAIT: Final = int(socket.MSG_DONTWAIT)
_SEND: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_pack = _PRELUDE.pack
_unpack = _PRELUDE.unpack_from


class Link:
    """One connection; `send` and `receive` never block.

    most_unsent_bytes: with so much waiting for the other end, `send` takes no more; 0: no bound.
    largest_bytes: a message that claims more ends the link. May be changed at any time.
    budget: what must have room for a large message before its first byte is taken, if anything.
    """

    is_edge_triggered = False

    def __init__(
        self,
        stream: socket.socket,
        reactor: Reactor,
        endpoint: str = "",
        most_unsent_bytes: int = 0,
        largest_bytes: int = MESSAGE_BYTES,
        budget: ArrivalBudget | None = None,
    ) -> None:
        # Blocking, for `wait`; each other call says that it does not.
        stream.settimeout(None)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _BRIEF)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        self.endpoint = endpoint
        self.fd = stream.fileno()
        self._stream = stream
        self._reactor = reactor
        self.largest_bytes = largest_bytes
        self._budget = budget
        self._most_unsent_bytes = most_unsent_bytes
        self._arrived = b""
        self._at = 0
        self._arriving: ArrivingMessage | None = None
        self._awaits_room = False
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._reason = ""

    # -- sending ----------------------------------------------------------------------------

    def send(self, body: Bytes, buffers: Sequence[Bytes] = ()) -> bool | None:
        """Send one message, or keep what does not fit now and send it as soon as it does.

        Returns False when the other end is gone and nothing of the message was sent, None when
        too much waits already. Buffers must not change until they have left.
        """
        if self._unsent:
            if 0 < self._most_unsent_bytes <= self._unsent_bytes:
                return None
            self._keep(_parts(body, buffers))
            return True
        try:
            if not buffers and len(body) <= _JOINED_BYTES:
                whole = _pack(len(body), 0) + body
                sent = self._stream.send(whole, _SEND)
                if sent == len(whole):
                    return True
                parts = [memoryview(whole)]
            else:
                parts = _parts(body, buffers)
                sent = self._stream.sendmsg(parts[:_VECTOR], (), _SEND)
        except BlockingIOError:
            sent, parts = 0, _parts(body, buffers)
        except OSError:
            return False
        self._keep(_without(parts, sent))
        return True

    def _keep(self, parts: Iterable[memoryview]) -> None:
        was_empty = not self._unsent
        for part in parts:
            self._unsent.append(part)
            self._unsent_bytes += part.nbytes
        if was_empty and self._unsent:
            self._reactor.watch_writable(self.fd, self._push)

    def _push(self) -> None:
        """Send more of what waits; the reactor tells again when there is room for the rest."""
        try:
            sent = self._stream.sendmsg(list(islice(self._unsent, _VECTOR)), (), _SEND)
        except BlockingIOError:
            return
        except OSError:  # its end is read, and told, on the other descriptor's side
            self._unsent.clear()
            self._unsent_bytes = sent = 0
        self._unsent_bytes -= sent
        while sent:
            first = self._unsent.popleft()
            if sent < first.nbytes:
                self._unsent.appendleft(first[sent:])
            sent -= min(sent, first.nbytes)
        if not self._unsent:
            self._reactor.unwatch_writable(self.fd)

    # -- receiving --------------------------------------------------------------------------

    def receive(self, *, is_told: bool = False) -> list[memoryview] | None:
        """Return the frames of the next message, None when there is none.

        is_told: look into the socket too, not only at what was taken from it before.
        """
        message = self._next()
        if message is None and is_told and not self._awaits_room and self._fill():
            message = self._next()
        return message

    def wait(self) -> bool:
        """Block for at most BRIEF_S until something comes; tell whether it did.

        In one system call, where asking the descriptor first takes two: each is a chance to lose
        the interpreter to another thread.
        """
        return not self._unsent and self._fill(0)

    @property
    def awaits_room(self) -> bool:
        """Whether its next message waits until there is room for it; `receive` tries again."""
        return self._awaits_room

    @property
    def is_stalled(self) -> bool:
        """Whether a message has begun to arrive and nothing of it has come for a while."""
        return bool(self._arriving and self._arriving.is_stalled)

    @property
    def is_unfinished(self) -> bool:
        """Whether a large message has begun to arrive, or waits for room."""
        return self._awaits_room or self._arriving is not None

    def ending(self) -> str:
        """Return why the connection has ended, empty while it has not; what had arrived is kept."""
        return self._reason

    def close(self, *, linger: bool = False) -> None:
        """Close at once; what is unsent is dropped, or has half a second to leave."""
        if self.fd < 0:
            return
        self._forget_arriving()
        self._reactor.unwatch(self.fd)
        if self._unsent:
            self._reactor.unwatch_writable(self.fd)
            if linger:
                self._leave()
        self.fd = -1
        self._stream.close()

    def _leave(self) -> None:
        self._stream.settimeout(LINGER_S)
        try:
            for part in self._unsent:
                self._stream.sendall(part, int(socket.MSG_NOSIGNAL))
        except OSError:
            return

    def _next(self) -> list[memoryview] | None:
        if self._arriving:
            return self._completed(self._arriving)
        data, at = self._arrived, self._at
        left = len(data) - at
        if left < _PRELUDE_BYTES:
            return None
        size, count = _unpack(data, at)
        if count or size > READ_BYTES:
            return self._next_large(size, count)
        end = at + _PRELUDE_BYTES + size
        if end > len(data):
            return None
        if end == len(data):
            self._arrived, self._at = b"", 0
        else:
            self._at = end
        return [memoryview(data)[at + _PRELUDE_BYTES : end]]

    def _next_large(self, size: int, count: int) -> list[memoryview] | None:
        """Begin a message that has buffers, or is larger than one read."""
        begin = self._at + _PRELUDE_BYTES
        if size + 4 * count > self.largest_bytes or count > MOST_BUFFERS:
            self._end(_UNREADABLE)
            return None
        if len(self._arrived) < begin + 4 * count:
            return None
        message = ArrivingMessage((size, *struct.unpack_from(f"<{count}I", self._arrived, begin)))
        if message.claimed_bytes > self.largest_bytes:
            self._end(_UNREADABLE)
            return None
        self._awaits_room = bool(self._budget and not self._budget.admit(message))
        if self._awaits_room:
            return None
        self._arriving = message
        self._at = begin + 4 * count
        self._at += message.take(memoryview(self._arrived)[self._at :])
        return self._completed(message)

    def _completed(self, message: ArrivingMessage) -> list[memoryview] | None:
        if not message.is_complete:
            return None
        self._forget_arriving()
        return message.frames

    def _forget_arriving(self) -> None:
        if self._arriving and self._budget:
            self._budget.release(self._arriving)
        self._arriving = None

    def _fill(self, flags: int = _NOWAIT) -> bool:
        """Take what the socket has; False when that is nothing."""
        try:
            if self._arriving:
                return self._fill_large(self._arriving)
            data = self._stream.recv(READ_BYTES, flags)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end(_GONE)
            return False
        rest = self._arrived[self._at :]
        self._arrived, self._at = rest + data if rest else data, 0
        return True

    def _fill_large(self, message: ArrivingMessage) -> bool:
        while not message.is_complete:
            with message.room() as room:
                wanted = len(room)
                count = self._stream.recv_into(room, 0, _NOWAIT)
            if not count:
                self._end(_GONE)
                return False
            message.advance(count)
            if count < wanted:  # the rest has not arrived
                break
        return True

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason


def _parts(body: Bytes, buffers: Sequence[Bytes]) -> list[memoryview]:
    views = [memoryview(each).cast("B") for each in buffers]
    sizes = struct.pack(f"<{len(views)}I", *(v.nbytes for v in views))
    head = memoryview(_pack(len(body), len(views)) + sizes)
    return [head, memoryview(body), *(v for v in views if v.nbytes)]


def _without(parts: Iterable[memoryview], sent: int) -> Iterable[memoryview]:
    """Yield what is left of parts when so many bytes have left."""
    for part in parts:
        if sent < part.nbytes:
            yield part[sent:]
        sent -= min(sent, part.nbytes)
