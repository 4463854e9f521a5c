"""Watching over a peer that owes a sign of life: who gives none for so long is frozen.

A callee answers each request, or beats within 0.5 s of it from its work loop, also when the request was
cancelled meanwhile. So silence counts from the first request since the peer was heard last, whatever has
become of that request: callers with short deadlines find a dead lane too. Idle lanes are not watched:
there is nothing to lose on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from argosy.wire.frame import now_us
from argosy.wire.reactor import Reactor, Timer

SILENCE_S: Final = 1.25  # two and a half beats: found 1.25 to 1.5 s after the last sign of life
PAUSE_S: Final = 0.25  # a timer that late tells of a pause of our own


class Vigil:
    """One lane's watch.

    look: takes what has arrived and tells whether replies are owed; called before judging.
    frozen: called with the seconds of silence when there were too many.
    heard_us, is_awaited: set to now and to False by the owner at each sign of life.
    """

    def __init__(self, reactor: Reactor, look: Callable[[], bool], frozen: Callable[[float], None]) -> None:
        self._reactor = reactor
        self._look = look
        self._frozen = frozen
        self._timer: Timer | None = None
        self._due_us = 0
        self._is_excused = False
        self.heard_us = 0
        self.is_awaited = False

    def begin(self, was_idle: bool) -> None:
        """Watch, since something was sent; was_idle: nothing was owed before it.

        Who owed nothing and has given its sign did not beat, so its silence counts from what was sent now.
        """
        if not self.is_awaited:
            self.is_awaited, self._is_excused = True, False
            if was_idle:
                self.heard_us = now_us()
        if not self._timer:
            self._arm(SILENCE_S)

    def cancel(self) -> None:
        """Watch no more."""
        self.is_awaited = self._is_excused = False
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _arm(self, delay_s: float) -> None:
        self._due_us = now_us() + int(delay_s * 1e6)
        self._timer = self._reactor.later(delay_s, self._judge)

    def _judge(self) -> None:
        """Take what arrived first; a pause of our own is not held against the peer.

        Once in a silence: a thread that calls now and then pauses between any two calls.
        """
        self._timer = None
        late_us = now_us() - self._due_us
        is_owed = self._look()
        if not self.is_awaited:
            self._is_excused = False
            if not is_owed:
                return
        now = now_us()
        if late_us > PAUSE_S * 1e6 and not self._is_excused:
            self.heard_us, self._is_excused = now, True
        quiet_s = (now - self.heard_us) / 1e6
        if quiet_s < SILENCE_S:
            self._arm(SILENCE_S - quiet_s)
        else:
            self._frozen(quiet_s)
