"""What leaves a ROUTER: records of one tick in one message, callers that are full or gone.

ROUTER_MANDATORY makes both visible at the identity frame: a caller that has gone is
EHOSTUNREACH, one that does not read is EAGAIN. The second is tried again by a timer, within a
bound; then it is forgotten too, and told *stale* should it come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import zmq
from zmq.backend import Socket as Plain

from argosy.wire import codec, frame
from argosy.wire.inquiry import Caller
from argosy.wire.reactor import Reactor, Timer

FULL_RETRY_S: Final = 0.01
FULL_LIMIT_S: Final = 5.0  # a caller that reads nothing for so long is forgotten

_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class Outbox:
    """The sending side of one ROUTER.

    look: called once after a tick's last send, which may have hidden that something arrived.
    gone: called with each caller that cannot be reached any more.
    state: the place in `frame.STATES` that replies tell.
    """

    def __init__(
        self,
        socket: Plain,
        incarnation: int,
        reactor: Reactor,
        look: Callable[[], object],
        gone: Callable[[Caller], object],
    ) -> None:
        self.state = 0
        self._socket = socket
        self._incarnation = incarnation
        self._reactor = reactor
        self._look = look
        self._gone = gone
        self._dirty: dict[bytes, Caller] = {}
        self._flushing = False
        self._retry: Timer | None = None
        self._is_closed = False

    def put(self, caller: Caller, record: bytes, buffers: Sequence[frame.Bytes]) -> None:
        """Add a reply record to those of this tick; one with buffers ends the message before it."""
        if buffers:
            self._close_batch(caller)
            whole = codec.body(frame.REPLY, self._incarnation, [record], len(buffers), self.state)
            caller.due.append((whole, buffers))
        else:
            caller.outbox.append(record)
            if len(caller.outbox) >= codec.BATCH_RECORDS:
                self._close_batch(caller)
        self._dirty[caller.identity] = caller
        self.flush_soon()

    def hold(self) -> bool:
        """Let what is put from now on wait for `release`, and tell whether there must be one.

        There must be none where a flush is due anyhow.
        """
        was_due, self._flushing = self._flushing, True
        return not was_due

    def release(self) -> bool:
        """Send what was put since `hold`; True when that was something, which a look has to follow."""
        self._flushing = False
        return self._send_dirty()

    def flush_soon(self) -> None:
        """Flush, or at least look, at the end of this tick."""
        if not self._flushing:
            self._flushing = True
            self._reactor.soon(self._flush_tick)

    def _flush_tick(self) -> None:
        self._flushing = False
        self.flush()

    def flush(self) -> None:
        """Send what waits for each caller, then look once."""
        if self._is_closed:  # it may have been due at the end of a tick
            return
        self._send_dirty()
        self._look()

    def _send_dirty(self) -> bool:
        if not self._dirty:
            return False
        dirty, self._dirty = self._dirty, {}
        for caller in dirty.values():
            self._close_batch(caller)
            self._send_due(caller)
        return True

    def close(self) -> None:
        """Send what still waits and stop the timer."""
        self.flush()
        self._is_closed = True
        if self._retry:
            self._retry.cancel()

    def send(self, identity: bytes, whole: bytes, buffers: Sequence[frame.Bytes] = ()) -> bool | None:
        """Send one message now: True, False when its receiver has gone, None when its queue is full."""
        try:
            Plain.send(self._socket, identity, _MORE)
        except zmq.Again:
            return None
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        if not buffers:
            Plain.send(self._socket, whole, _NOBLOCK)
            return True
        Plain.send(self._socket, whole, _MORE)
        for buffer in buffers[:-1]:
            Plain.send(self._socket, buffer, _MORE, False)
        Plain.send(self._socket, buffers[-1], _NOBLOCK, False)
        return True

    def send_envelope(self, route: Sequence[bytes], text: bytes) -> bool:
        """Send an old speaker's answer; False when it has gone or does not read."""
        try:
            for part in route:
                Plain.send(self._socket, part, _MORE)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        Plain.send(self._socket, text, _NOBLOCK)
        return True

    def _close_batch(self, caller: Caller) -> None:
        if caller.outbox:
            caller.due.append((codec.body(frame.REPLY, self._incarnation, caller.outbox, 0, self.state), ()))
            caller.outbox = []

    def _send_due(self, caller: Caller) -> None:
        for index, (whole, buffers) in enumerate(caller.due):
            sent = self.send(caller.identity, whole, buffers)
            if not sent:
                del caller.due[:index]
                if sent is None:
                    self._on_full(caller)
                else:
                    self._gone(caller)
                return
        caller.due.clear()
        caller.full_since_s = 0.0

    def _on_full(self, caller: Caller) -> None:
        now_s = time.monotonic()
        caller.full_since_s = caller.full_since_s or now_s
        if now_s - caller.full_since_s > FULL_LIMIT_S:
            self._gone(caller)
            return
        self._dirty[caller.identity] = caller
        if not self._retry:
            self._retry = self._reactor.later(FULL_RETRY_S, self._on_retry)

    def _on_retry(self) -> None:
        self._retry = None
        self.flush()
