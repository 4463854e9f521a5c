"""Detects a frozen peer: one that owes a reply and sends nothing for too long.

A server replies to each request, or sends a heartbeat within 0.5 s of it from its work loop, also when
the request was cancelled meanwhile. So silence counts from the first request after the last message
received, whatever became of that request: clients with short deadlines also find a dead connection.
Idle connections are not watched, since nothing can be lost on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from argosy.wire.protocol.frame import now_us
from argosy.wire.transport.reactor import Reactor, Timer

FREEZE_TIMEOUT_S: Final = 1.25  # two and a half heartbeats: detected 1.25 to 1.5 s after the last message
MIN_OWN_PAUSE_S: Final = 0.25  # a timer this late means that this process itself was paused


class PeerWatchdog:
    """The watchdog of one connection.

    drain: reads what has arrived and returns whether replies are outstanding; called before judging.
    on_frozen: called with the seconds of silence once they exceed the limit.
    last_received_us, is_reply_awaited: set to now and to False by the owner at each message received.
    """

    def __init__(
        self, reactor: Reactor, drain: Callable[[], bool], on_frozen: Callable[[float], None]
    ) -> None:
        self._reactor = reactor
        self._drain = drain
        self._on_frozen = on_frozen
        self._timer: Timer | None = None
        self._due_us = 0
        self._is_pause_forgiven = False
        self.last_received_us = 0
        self.is_reply_awaited = False

    def start(self, was_idle: bool) -> None:
        """Start watching after a send. was_idle: no reply was outstanding before it.

        An idle peer sends no heartbeats, so its silence counts from this send.
        """
        if not self.is_reply_awaited:
            self.is_reply_awaited, self._is_pause_forgiven = True, False
            if was_idle:
                self.last_received_us = now_us()
        if not self._timer:
            self._arm(FREEZE_TIMEOUT_S)

    def cancel(self) -> None:
        """Stop watching."""
        self.is_reply_awaited = self._is_pause_forgiven = False
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _arm(self, delay_s: float) -> None:
        self._due_us = now_us() + int(delay_s * 1e6)
        self._timer = self._reactor.call_later(delay_s, self._check)

    def _check(self) -> None:
        """Read what arrived first; a pause of this process does not count as the peer's silence.

        Tolerated once per silence: a thread that calls now and then pauses between any two calls.
        """
        self._timer = None
        late_us = now_us() - self._due_us
        is_owed = self._drain()
        if not self.is_reply_awaited:
            self._is_pause_forgiven = False
            if not is_owed:
                return
        now = now_us()
        if late_us > MIN_OWN_PAUSE_S * 1e6 and not self._is_pause_forgiven:
            self.last_received_us, self._is_pause_forgiven = now, True
        silent_s = (now - self.last_received_us) / 1e6
        if silent_s < FREEZE_TIMEOUT_S:
            self._arm(FREEZE_TIMEOUT_S - silent_s)
        else:
            self._on_frozen(silent_s)
