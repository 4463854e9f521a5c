"""Large messages during receipt: memory grows with the bytes received, within a limit per process.

The sizes at the head of a message are a claim of its sender. Allocating by the claim would
let a hundred idle connections use up the machine's memory, so each frame begins small and grows by a
factor as it fills. The claim counts towards the limit before a byte is read: an admitted message
can always be completed, and one not admitted waits in its sender's socket.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from argosy.wire.protocol.codec import MAX_MESSAGE_BYTES

MAX_CLAIMED_BYTES: Final = 4 * MAX_MESSAGE_BYTES  # by all unfinished messages of a process
STALL_TIMEOUT_S: Final = 5.0

_INITIAL_BYTES: Final = 64 * 1024
_GROWTH: Final = 32  # one read of 64 KiB makes room for 2 MiB: arrays of 1 MiB never grow


class IncomingMessage:
    """The frames of one message, each in memory of its own so that arrays are aligned.

    claimed_bytes: the size of the whole message according to its head.
    """

    def __init__(self, sizes: Iterable[int]) -> None:
        self._remaining_sizes = deque(sizes)
        self.claimed_bytes = sum(self._remaining_sizes)
        self.frames: list[memoryview] = []
        self._memory = bytearray()
        self._filled = 0
        self._progress_s = time.monotonic()
        self._finish_full_frames()

    @property
    def is_complete(self) -> bool:
        """Whether every byte of every frame is there."""
        return not self._remaining_sizes

    @property
    def is_stalled(self) -> bool:
        """Whether nothing has arrived for STALLED_S."""
        return time.monotonic() - self._progress_s > STALL_TIMEOUT_S

    def writable_space(self, expected_bytes: int = 0) -> memoryview:
        """Return the buffer for the next bytes; release it before the next call.

        expected_bytes: the bytes known to be there, so that their memory is allocated in one step.
        """
        held = len(self._memory)
        if self._filled == held:
            wanted = max(_INITIAL_BYTES, _GROWTH * max(held, expected_bytes))
            self._memory.extend(bytes(min(self._remaining_sizes[0], wanted) - held))
        return memoryview(self._memory)[self._filled :]

    def advance(self, count: int) -> None:
        """Record that `count` bytes of the buffer are filled."""
        self._filled += count
        self._progress_s = time.monotonic()
        self._finish_full_frames()

    def consume(self, data: memoryview) -> int:
        """Copy received data, and return how much of it belongs to this message."""
        consumed = 0
        while self._remaining_sizes and consumed < len(data):
            with self.writable_space(len(data) - consumed) as room:
                part = data[consumed : consumed + len(room)]
                room[: len(part)] = part
            consumed += len(part)
            self.advance(len(part))
        return consumed

    def _finish_full_frames(self) -> None:
        """Skip each frame that is full, empty ones included."""
        while self._remaining_sizes and self._filled == self._remaining_sizes[0]:
            self._remaining_sizes.popleft()
            self.frames.append(memoryview(self._memory))
            self._memory, self._filled = bytearray(), 0


class ReceiveBudget:
    """The sum of all unfinished messages' claims in a process; may be used by several threads.

    The first message is always admitted, so that a message is never larger than the limit.
    """

    def __init__(self, total_bytes: int = MAX_CLAIMED_BYTES) -> None:
        self._total_bytes = total_bytes
        self._lock = threading.Lock()
        self._claimed: dict[IncomingMessage, int] = {}
        self._refused_s = 0.0

    @property
    def is_exhausted(self) -> bool:
        """Whether a message was not admitted within the last second: it waits."""
        return time.monotonic() - self._refused_s < 1

    def admit(self, message: IncomingMessage) -> bool:
        """Add a message's claim; False when it does not fit now."""
        with self._lock:
            claimed = sum(self._claimed.values())
            if self._claimed and claimed + message.claimed_bytes > self._total_bytes:
                self._refused_s = time.monotonic()
                return False
            self._claimed[message] = message.claimed_bytes
            return True

    def release(self, message: IncomingMessage) -> None:
        """Release the claim of a message that is complete or abandoned."""
        with self._lock:
            self._claimed.pop(message, None)


RECEIVE_BUDGET: Final = ReceiveBudget()
