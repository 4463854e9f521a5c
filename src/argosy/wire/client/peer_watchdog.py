"""Watching over a peer that owes a sign of life: who gives none for so long is frozen.

A callee answers each request, or beats within 0.5 s of it from its work loop, also when the request was
cancelled meanwhile. So silence counts from the first request since the peer was heard last, whatever has
become of that request: callers with short deadlines find a dead lane too. Idle lanes are not watched:
there is nothing to lose on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from argosy.wire.protocol.frame import now_us
from argosy.wire.transport.reactor import Reactor, Timer

FREEZE_TIMEOUT_S: Final = 1.25  # two and a half beats: found 1.25 to 1.5 s after the last sign of life
MIN_OWN_PAUSE_S: Final = 0.25  # a timer that late tells of a pause of our own


class PeerWatchdog:
    """One lane's watch.

    look: takes what has arrived and tells whether replies are owed; called before judging.
    frozen: called with the seconds of silence when there were too many.
    heard_us, is_awaited: set to now and to False by the owner at each sign of life.
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
        """Watch, since something was sent; was_idle: nothing was owed before it.

        Who owed nothing and has given its sign did not beat, so its silence counts from what was sent now.
        """
        if not self.is_reply_awaited:
            self.is_reply_awaited, self._is_pause_forgiven = True, False
            if was_idle:
                self.last_received_us = now_us()
        if not self._timer:
            self._arm(FREEZE_TIMEOUT_S)

    def cancel(self) -> None:
        """Watch no more."""
        self.is_reply_awaited = self._is_pause_forgiven = False
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _arm(self, delay_s: float) -> None:
        self._due_us = now_us() + int(delay_s * 1e6)
        self._timer = self._reactor.call_later(delay_s, self._check)

    def _check(self) -> None:
        """Take what arrived first; a pause of our own is not held against the peer.

        Once in a silence: a thread that calls now and then pauses between any two calls.
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
