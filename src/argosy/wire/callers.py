"""The callers that an agent knows, and how it learns that one has gone.

A caller is known from its HELLO until its link ends or, through the ROUTER, until a send to it
fails, which is there the only sign that it has gone. The beat is such a send for callers with
something in flight; others are asked once in a long while, so that the table cannot grow and an
idle lane never fills.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from argosy.wire.frame import Bytes, now_us

if TYPE_CHECKING:
    from argosy.wire.inquiry import ArgosyInquiry, Caller, Key
    from argosy.wire.reactor import Reactor, Timer

BEAT_S: Final = 0.5
IDLE_PROBE_S: Final = 300.0


class Callers:
    """The table of callers; `known` is for reading.

    make_beat(oldest_s): encodes a beat; oldest_s is how long the caller's oldest request has been here.
    on_forgotten(inquiries): told what was being done for a caller that is forgotten.
    on_sent(): called after beats were sent.
    """

    def __init__(
        self,
        reactor: Reactor,
        make_beat: Callable[[float], Bytes],
        on_forgotten: Callable[[Collection[ArgosyInquiry]], object],
        on_sent: Callable[[], object],
    ) -> None:
        self.known: dict[Key, Caller] = {}
        self._reactor = reactor
        self._make_beat, self._on_forgotten, self._on_sent = make_beat, on_forgotten, on_sent
        self._busy: dict[Key, Caller] = {}
        self._beat: Timer | None = None
        self._next_probe_s = time.monotonic() + IDLE_PROBE_S

    def add(self, caller: Caller) -> None:
        """Know this one from now on."""
        self.known[caller.key] = caller

    def keep_beating(self, caller: Caller) -> None:
        """Tell it regularly that the work loop turns, for as long as it has something in flight.

        What was cancelled is followed by one beat more: each request gets a sign of life.
        """
        self._busy[caller.key] = caller
        if not self._beat:
            self._beat = self._reactor.later(BEAT_S, self._on_beat)

    def forget(self, caller: Caller) -> None:
        """Drop one that has gone, and what is being done for it."""
        self.known.pop(caller.key, None)
        self._busy.pop(caller.key, None)
        caller.outbox, caller.due = [], []
        inquiries, caller.inquiries = caller.inquiries, {}
        self._on_forgotten(inquiries.values())

    def probe_idle(self) -> None:
        """Find those that went without a word, when it is time; so seldom that an idle lane never fills."""
        now_s = time.monotonic()
        if now_s < self._next_probe_s:
            return
        self._next_probe_s = now_s + IDLE_PROBE_S
        for caller in list(self.known.values()):
            is_idle = not caller.inquiries and now_s - caller.heard_s > IDLE_PROBE_S
            if is_idle and self._beat_to(caller) is False:
                self.forget(caller)

    def close(self) -> None:
        """Beat no more."""
        if self._beat:
            self._beat.cancel()

    def _on_beat(self) -> None:
        self._beat = None
        for key, caller in list(self._busy.items()):
            if not caller.inquiries and not caller.owes_beat:
                del self._busy[key]
            elif not caller.due and self._beat_to(caller) is False:  # with messages due it is full
                self.forget(caller)
        if self._busy:
            self._beat = self._reactor.later(BEAT_S, self._on_beat)
        self._on_sent()

    def _beat_to(self, caller: Caller) -> bool | None:
        since_us = min((i.since_us for i in caller.inquiries.values()), default=0)
        oldest_s = (now_us() - since_us) / 1e6 if since_us else 0.0
        caller.owes_beat = False
        return caller.way.send(self._make_beat(oldest_s))
