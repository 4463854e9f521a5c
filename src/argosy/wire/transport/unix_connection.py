"""One end of a Unix stream between two processes of one machine, carrying the same messages as ZeroMQ.

ZeroMQ passes each message through a thread of its own at both ends. Here a message is one system
call of the sending thread and one of the receiving thread, several small ones in a row
are received by one call, and the kernel reports at once that the other end is gone.

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

from argosy.wire.protocol.codec import MAX_MESSAGE_BYTES
from argosy.wire.protocol.frame import BytesLike
from argosy.wire.transport.incoming_message import IncomingMessage, ReceiveBudget
from argosy.wire.transport.reactor import Reactor

READ_BYTES: Final = 64 * 1024
SEND_BUFFER_BYTES: Final = (
    2 * 1024 * 1024
)  # in the socket's buffer, where the machine allows it: a large array in one go
MAX_BUFFERS: Final = 0xFFFF
LINGER_S: Final = 0.5
BRIEF_WAIT_S: Final = 0.002

_MAX_JOINED_BYTES: Final = (
    32 * 1024
)  # up to this size copying a body behind its prelude is faster than a vector
_MAX_PARTS: Final = 64  # parts in one system call, well below IOV_MAX
_BRIEF_TIMEVAL: Final = struct.pack("@ll", 0, int(BRIEF_WAIT_S * 1e6))
_PRELUDE: Final = struct.Struct("<II")
_PRELUDE_BYTES: Final = _PRELUDE.size
_MALFORMED: Final = "it sent what cannot be read"
_CLOSED_BY_PEER: Final = "its connection ended"
_NOWAIT: Final = int(socket.MSG_DONTWAIT)
_SEND: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_pack = _PRELUDE.pack
_unpack = _PRELUDE.unpack_from


class UnixConnection:
    """One connection; `send` and `receive` never block.

    max_unsent_bytes: with this much unsent, `send` accepts no more; 0: no limit.
    max_message_bytes: a message that claims more ends the connection. May be changed at any time.
    budget: admits a large message before its first byte is read, if given.
    """

    is_edge_triggered = False

    def __init__(
        self,
        stream: socket.socket,
        reactor: Reactor,
        endpoint: str = "",
        max_unsent_bytes: int = 0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        budget: ReceiveBudget | None = None,
    ) -> None:
        # Blocking, for `wait`; every other call passes MSG_DONTWAIT.
        stream.settimeout(None)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _BRIEF_TIMEVAL)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.endpoint = endpoint
        self.fd = stream.fileno()
        self._stream = stream
        self._reactor = reactor
        self.max_message_bytes = max_message_bytes
        self._budget = budget
        self._max_unsent_bytes = max_unsent_bytes
        self._received = b""
        self._offset = 0
        self._incoming: IncomingMessage | None = None
        self._is_waiting_for_budget = False
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._end_reason = ""

    # -- sending -----------------------------------------------------------------------------

    def send(self, body: BytesLike, buffers: Sequence[BytesLike] = ()) -> bool | None:
        """Send one message, or keep what does not fit now and send it as soon as it does.

        Returns False when the other end is gone and nothing of the message was sent, None when
        too much is unsent already. Buffers must not change until they are sent.
        """
        if self._unsent:
            if 0 < self._max_unsent_bytes <= self._unsent_bytes:
                return None
            self._queue_unsent(_message_parts(body, buffers))
            return True
        try:
            if not buffers and len(body) <= _MAX_JOINED_BYTES:
                message = _pack(len(body), 0) + body
                sent = self._stream.send(message, _SEND)
                if sent == len(message):
                    return True
                parts = [memoryview(message)]
            else:
                parts = _message_parts(body, buffers)
                sent = self._stream.sendmsg(parts[:_MAX_PARTS], (), _SEND)
        except BlockingIOError:
            sent, parts = 0, _message_parts(body, buffers)
        except OSError:
            return False
        self._queue_unsent(_skip_bytes(parts, sent))
        return True

    def _queue_unsent(self, parts: Iterable[memoryview]) -> None:
        was_empty = not self._unsent
        for part in parts:
            self._unsent.append(part)
            self._unsent_bytes += part.nbytes
        if was_empty and self._unsent:
            self._reactor.add_writer(self.fd, self._flush_unsent)

    def _flush_unsent(self) -> None:
        """Send more of what is unsent; the reactor calls again when there is room for the rest."""
        try:
            sent = self._stream.sendmsg(list(islice(self._unsent, _MAX_PARTS)), (), _SEND)
        except BlockingIOError:
            return
        except OSError:  # the reading side detects and reports the end
            self._unsent.clear()
            self._unsent_bytes = sent = 0
        self._unsent_bytes -= sent
        while sent:
            first = self._unsent.popleft()
            if sent < first.nbytes:
                self._unsent.appendleft(first[sent:])
            sent -= min(sent, first.nbytes)
        if not self._unsent:
            self._reactor.remove_writer(self.fd)

    # -- receiving ---------------------------------------------------------------------------

    def receive(self, *, is_readable: bool = False) -> list[memoryview] | None:
        """Return the frames of the next message, None when there is none.

        is_readable: also read from the socket, not only from what was read before.
        """
        message = self._next_message()
        if message is None and is_readable and not self._is_waiting_for_budget and self._read():
            message = self._next_message()
        return message

    def wait(self) -> bool:
        """Block for a few milliseconds at most until something arrives; return whether it did.

        In one system call, where polling the descriptor first takes two: each is a chance to lose
        the interpreter to another thread.
        """
        return not self._unsent and self._read(0)

    @property
    def is_waiting_for_budget(self) -> bool:
        """Whether the next message is not admitted by the budget yet; `receive` tries again."""
        return self._is_waiting_for_budget

    @property
    def is_stalled(self) -> bool:
        """Whether a message is partly received and nothing of it has arrived for a while."""
        return bool(self._incoming and self._incoming.is_stalled)

    @property
    def is_unfinished(self) -> bool:
        """Whether a large message is partly received, or waits for the budget."""
        return self._is_waiting_for_budget or self._incoming is not None

    def end_reason(self) -> str:
        """Return why the connection has ended, empty while it has not; received messages are kept."""
        return self._end_reason

    def close(self, *, linger: bool = False) -> None:
        """Close; what is unsent is dropped, or has half a second to leave."""
        if self.fd < 0:
            return
        self._release_incoming()
        self._reactor.remove_reader(self.fd)
        if self._unsent:
            self._reactor.remove_writer(self.fd)
            if linger:
                self._drain()
        self.fd = -1
        self._stream.close()

    def _drain(self) -> None:
        self._stream.settimeout(LINGER_S)
        try:
            for part in self._unsent:
                self._stream.sendall(part, int(socket.MSG_NOSIGNAL))
        except OSError:
            return

    def _next_message(self) -> list[memoryview] | None:
        if self._incoming:
            return self._finish_message(self._incoming)
        data, at = self._received, self._offset
        left = len(data) - at
        if left < _PRELUDE_BYTES:
            return None
        size, count = _unpack(data, at)
        if count or size > READ_BYTES:
            return self._begin_large_message(size, count)
        end = at + _PRELUDE_BYTES + size
        if end > len(data):
            return None
        if end == len(data):
            self._received, self._offset = b"", 0
        else:
            self._offset = end
        return [memoryview(data)[at + _PRELUDE_BYTES : end]]

    def _begin_large_message(self, size: int, count: int) -> list[memoryview] | None:
        """Begin a message that has buffers, or is larger than one read."""
        start = self._offset + _PRELUDE_BYTES
        if size + 4 * count > self.max_message_bytes or count > MAX_BUFFERS:
            self._set_end_reason(_MALFORMED)
            return None
        if len(self._received) < start + 4 * count:
            return None
        message = IncomingMessage((size, *struct.unpack_from(f"<{count}I", self._received, start)))
        if message.claimed_bytes > self.max_message_bytes:
            self._set_end_reason(_MALFORMED)
            return None
        self._is_waiting_for_budget = bool(self._budget and not self._budget.admit(message))
        if self._is_waiting_for_budget:
            return None
        self._incoming = message
        self._offset = start + 4 * count
        self._offset += message.consume(memoryview(self._received)[self._offset :])
        return self._finish_message(message)

    def _finish_message(self, message: IncomingMessage) -> list[memoryview] | None:
        if not message.is_complete:
            return None
        self._release_incoming()
        return message.frames

    def _release_incoming(self) -> None:
        if self._incoming and self._budget:
            self._budget.release(self._incoming)
        self._incoming = None

    def _read(self, flags: int = _NOWAIT) -> bool:
        """Read what the socket has; False when that is nothing."""
        try:
            if self._incoming:
                return self._read_large(self._incoming)
            data = self._stream.recv(READ_BYTES, flags)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._set_end_reason(_CLOSED_BY_PEER)
            return False
        rest = self._received[self._offset :]
        self._received, self._offset = rest + data if rest else data, 0
        return True

    def _read_large(self, message: IncomingMessage) -> bool:
        while not message.is_complete:
            with message.writable_space() as room:
                wanted = len(room)
                count = self._stream.recv_into(room, 0, _NOWAIT)
            if not count:
                self._set_end_reason(_CLOSED_BY_PEER)
                return False
            message.advance(count)
            if count < wanted:  # the rest has not arrived
                break
        return True

    def _set_end_reason(self, reason: str) -> None:
        self._end_reason = self._end_reason or reason


def _message_parts(body: BytesLike, buffers: Sequence[BytesLike]) -> list[memoryview]:
    views = [memoryview(each).cast("B") for each in buffers]
    sizes = struct.pack(f"<{len(views)}I", *(v.nbytes for v in views))
    head = memoryview(_pack(len(body), len(views)) + sizes)
    return [head, memoryview(body), *(v for v in views if v.nbytes)]


def _skip_bytes(parts: Iterable[memoryview], sent: int) -> Iterable[memoryview]:
    """Yield what is left of `parts` after `sent` bytes."""
    for part in parts:
        if sent < part.nbytes:
            yield part[sent:]
        sent -= min(sent, part.nbytes)
