"""Peer watchdog: silence counts from the last message or the first unanswered send, whichever is later."""

from __future__ import annotations

import pytest

from argosy.wire.client import peer_watchdog
from argosy.wire.client.peer_watchdog import FREEZE_TIMEOUT_S, PeerWatchdog
from argosy.wire.transport.reactor import Callback


class SimulatedReactor:
    """A clock that is set by hand, and its timers, as a reactor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_us = 1_000_000
        self.timers: list[_Timer] = []
        monkeypatch.setattr(peer_watchdog, "now_us", lambda: self.now_us)

    def add_reader(self, fd: int, callback: Callback) -> None: ...

    def remove_reader(self, fd: int) -> None: ...

    def add_writer(self, fd: int, callback: Callback) -> None: ...

    def remove_writer(self, fd: int) -> None: ...

    def call_soon(self, callback: Callback) -> None: ...

    def call_later(self, delay_s: float, callback: Callback) -> _Timer:
        self.timers.append(_Timer(self.now_us + int(delay_s * 1e6), callback))
        return self.timers[-1]

    def advance_s(self, seconds: float) -> None:
        end_us = self.now_us + int(seconds * 1e6)
        while due := [t for t in self.timers if t.at_us <= end_us and not t.is_off]:
            first = min(due, key=lambda t: t.at_us)
            self.now_us = max(self.now_us, first.at_us)
            self.timers.remove(first)
            first.callback()
        self.now_us = end_us


class _Timer:
    def __init__(self, at_us: int, callback: Callback) -> None:
        self.at_us = at_us
        self.callback = callback
        self.is_off = False

    def cancel(self) -> None:
        self.is_off = True


class WatchedPeer:
    """A watchdog of a peer that owes replies or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = SimulatedReactor(monkeypatch)
        self.is_owed = False
        self.frozen: list[float] = []
        self.watchdog = PeerWatchdog(self.clock, lambda: self.is_owed, self.frozen.append)

    def send(self) -> None:
        self.watchdog.start(not self.is_owed)
        self.is_owed = True

    def receive(self, *, is_owed: bool) -> None:
        self.watchdog.last_received_us, self.watchdog.is_reply_awaited = self.clock.now_us, False
        self.is_owed = is_owed


def test_watchdog_ignores_silence_without_awaited_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was called frozen 0.3 s after a call, when its last reply was 1.3 s old."""
    on = WatchedPeer(monkeypatch)
    on.send()
    on.clock.advance_s(0.01)
    on.receive(is_owed=False)
    on.clock.advance_s(1.0)
    on.send()
    on.clock.advance_s(1.2)
    assert on.frozen == []
    on.clock.advance_s(0.1)
    assert on.frozen == [pytest.approx(FREEZE_TIMEOUT_S, abs=0.01)]


def test_send_does_not_reset_silence_of_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    on = WatchedPeer(monkeypatch)
    on.send()
    on.clock.advance_s(1.0)
    on.send()
    on.clock.advance_s(0.26)
    assert on.frozen == [pytest.approx(FREEZE_TIMEOUT_S, abs=0.01)]


def test_expired_requests_do_not_reset_silence_of_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers with a second of time, or none waiting any more, found the dead lane by TCP's own patience."""
    on = WatchedPeer(monkeypatch)
    for _ in range(2):
        on.send()
        on.clock.advance_s(0.6)
        on.is_owed = False
    on.clock.advance_s(0.1)
    assert on.frozen == [pytest.approx(FREEZE_TIMEOUT_S, abs=0.01)]


def test_received_message_ends_silence_after_cancelled_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    on = WatchedPeer(monkeypatch)
    for _ in range(10):
        on.send()
        on.clock.advance_s(0.3)
        on.receive(is_owed=False)
        on.clock.advance_s(0.8)
    on.clock.advance_s(10)
    assert (on.frozen, on.clock.timers) == ([], [])


def test_watchdog_excuses_one_pause_between_calls_per_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    on = WatchedPeer(monkeypatch)

    def call_after(pause_s: float) -> None:
        on.clock.now_us += int(pause_s * 1e6)  # no timer is looked at
        on.send()
        on.clock.advance_s(0.1)
        on.is_owed = False

    call_after(0)
    call_after(10)
    assert on.frozen == []
    call_after(10)
    assert len(on.frozen) == 1
