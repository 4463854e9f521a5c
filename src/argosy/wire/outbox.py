"""What leaves a callee: records of one tick in one message, callers that are full or gone.

A caller that does not read is tried again by a timer, within a bound; then it is forgotten, and
told *stale* should it come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from argosy.wire import codec, frame
from argosy.wire.inquiry import Caller, Key
from argosy.wire.reactor import Reactor, Timer

FULL_RETRY_S: Final = 0.01
FULL_LIMIT_S: Final = 5.0  # a caller that reads nothing for so long is forgotten


class Outbox:
    """The sending side of one callee.

    look: called once after a tick's last send through the ROUTER, which may have hidden that
    something arrived.
    gone: called with each caller that cannot be reached any more.
    state: the place in `frame.STATES` that replies tell.
    """

    def __init__(
        self,
        incarnation: int,
        reactor: Reactor,
        look: Callable[[], object],
        gone: Callable[[Caller], object],
    ) -> None:
        self.state = 0
        self._incarnation = incarnation
        self._reactor = reactor
        self._look = look
        self._gone = gone
        self._dirty: dict[Key, Caller] = {}
        self._flushing = False
        self._needs_look = False
        self._retry: Timer | None = None
        self._is_closed = False

    def put(self, caller: Caller, record: bytes, buffers: Sequence[frame.Bytes]) -> None:
        """Add a reply record to those of this tick; one with buffers ends the message before it.

        A message as large as its caller's own leaves at once: it works on that while the rest is made.
        """
        if buffers:
            self._close_batch(caller)
            whole = codec.body(frame.REPLY, self._incarnation, [record], len(buffers), self.state)
            caller.due.append((whole, buffers))
        else:
            records = caller.outbox
            records.append(record)
            count = len(records)
            if count >= caller.batch:
                self._send_to(caller)
                return
            if count > 1:  # the first one has said that there is something to send
                return
        self._dirty[caller.key] = caller
        if not self._flushing:
            self.flush_soon()

    def hold(self) -> bool:
        """Let what is put from now on wait for `release`, and tell whether there must be one.

        There must be none where a flush is due anyhow.
        """
        was_due, self._flushing = self._flushing, True
        return not was_due

    def release(self) -> bool:
        """Send what was put since `hold`; True when a look at the ROUTER has to follow."""
        self._flushing = False
        self._send_dirty()
        needs_look, self._needs_look = self._needs_look, False
        return needs_look

    def look_soon(self) -> None:
        """Something has left through the ROUTER: look at the end of this tick."""
        self._needs_look = True
        self.flush_soon()

    def flush_soon(self) -> None:
        """Flush at the end of this tick."""
        if not self._flushing:
            self._flushing = True
            self._reactor.soon(self._flush_tick)

    def _flush_tick(self) -> None:
        self._flushing = False
        self.flush()

    def flush(self) -> None:
        """Send what waits for each caller, then look once if that is needed."""
        if self._is_closed:  # it may have been due at the end of a tick
            return
        self._send_dirty()
        if self._needs_look:
            self._needs_look = False
            self._look()

    def _send_dirty(self) -> None:
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            for caller in dirty.values():
                self._send_to(caller)

    def close(self) -> None:
        """Send what still waits and stop the timer."""
        self.flush()
        self._is_closed = True
        if self._retry:
            self._retry.cancel()

    def _send_to(self, caller: Caller) -> None:
        """Send a caller what is due."""
        self._needs_look = self._needs_look or caller.is_routed
        if not caller.due:
            if not caller.outbox:
                return
            whole = codec.body(frame.REPLY, self._incarnation, caller.outbox, 0, self.state)
            caller.outbox = []
            if not (sent := caller.way.send(whole)):
                caller.due.append((whole, ()))
                self._on_unsent(caller, sent)
            return
        self._close_batch(caller)
        for index, (whole, buffers) in enumerate(caller.due):
            sent = caller.way.send(whole, buffers)
            if not sent:
                del caller.due[:index]
                self._on_unsent(caller, sent)
                return
        caller.due.clear()
        caller.full_since_s = 0.0

    def _close_batch(self, caller: Caller) -> None:
        if caller.outbox:
            caller.due.append((codec.body(frame.REPLY, self._incarnation, caller.outbox, 0, self.state), ()))
            caller.outbox = []

    def _on_unsent(self, caller: Caller, sent: bool | None) -> None:
        if sent is None:
            self._on_full(caller)
        else:
            self._gone(caller)

    def _on_full(self, caller: Caller) -> None:
        now_s = time.monotonic()
        caller.full_since_s = caller.full_since_s or now_s
        if now_s - caller.full_since_s > FULL_LIMIT_S:
            self._gone(caller)
            return
        self._dirty[caller.key] = caller
        if not self._retry:
            self._retry = self._reactor.later(FULL_RETRY_S, self._on_retry)

    def _on_retry(self) -> None:
        self._retry = None
        self.flush()
