"""Blocking reactor: timers, callbacks and descriptors; and the peer watchdog on a simulated clock."""

from __future__ import annotations

import os
import time

import pytest

from argosy.wire.client import peer_watchdog
from argosy.wire.transport.reactor import BlockingReactor, Callback, Timer


def test_reactor_runs_timers_in_order_and_skips_cancelled_ones() -> None:
    reactor = BlockingReactor()
    fired: list[str] = []
    reactor.call_later(0.02, lambda: fired.append("late"))
    reactor.call_later(0.01, lambda: fired.append("early"))
    reactor.call_later(0.0, lambda: fired.append("never")).cancel()
    began = time.monotonic()
    reactor.run_until(lambda: len(fired) == 2)
    assert fired == ["early", "late"]
    assert time.monotonic() - began >= 0.02


def test_reactor_runs_call_soon_callbacks_in_order() -> None:
    reactor = BlockingReactor()
    done: list[int] = []
    reactor.call_soon(lambda: reactor.call_soon(lambda: done.append(2)))
    reactor.call_soon(lambda: done.append(1))
    reactor.run_until(lambda: len(done) == 2)
    assert done == [1, 2]


def test_readable_descriptor_wakes_reactor() -> None:
    reactor = BlockingReactor()
    read, write = os.pipe()
    got: list[bytes] = []
    reactor.add_reader(read, lambda: got.append(os.read(read, 10)))
    reactor.call_later(0.01, lambda: os.write(write, b"x"))
    reactor.run_until(lambda: got)  # type: ignore[arg-type, return-value]
    assert got == [b"x"]
    reactor.remove_reader(read)
    reactor.remove_reader(read)
    os.close(read)
    os.close(write)


class Clock:
    """A reactor and a clock that a test turns by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.pending: list[tuple[float, Callback]] = []

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        entry = (self.now_s + delay_s, callback)
        self.pending.append(entry)
        clock = self

        class Pending:
            def cancel(self) -> None:
                clock.pending.remove(entry)

        return Pending()

    def advance(self, seconds: float, late_s: float = 0.0) -> None:
        end = self.now_s + seconds
        while due := [e for e in self.pending if e[0] <= end]:
            first = min(due, key=lambda e: e[0])
            self.pending.remove(first)
            self.now_s = first[0] + late_s
            first[1]()
        self.now_s = max(self.now_s, end)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(peer_watchdog, "now_us", lambda: int(made.now_s * 1e6))
    return made


def watch(clock: Clock, look: bool = True) -> tuple[peer_watchdog.PeerWatchdog, list[float]]:
    frozen: list[float] = []
    made = peer_watchdog.PeerWatchdog(clock, lambda: look, frozen.append)  # type: ignore[arg-type]
    made.start(was_idle=True)
    return made, frozen


def test_watchdog_reports_frozen_after_1_25_s_of_silence(clock: Clock) -> None:
    _, frozen = watch(clock)
    clock.advance(1.2)
    assert frozen == []
    clock.advance(0.1)
    assert frozen == [1.25]


def test_received_message_resets_watchdog(clock: Clock) -> None:
    watched, frozen = watch(clock)
    for _ in range(10):
        clock.advance(0.5)
        watched.last_received_us = int(clock.now_s * 1e6)
    assert frozen == []
    clock.advance(1.25)
    assert len(frozen) == 1


def test_watchdog_ignores_pause_of_own_process(clock: Clock) -> None:
    _, frozen = watch(clock)
    clock.advance(1.25, late_s=60.0)
    assert frozen == []
    clock.advance(61.25 + 1.25)
    assert len(frozen) == 1


def test_watchdog_stops_when_no_reply_is_awaited(clock: Clock) -> None:
    watched, frozen = watch(clock, look=False)
    watched.is_reply_awaited = False  # the answer came
    clock.advance(10)
    assert (frozen, clock.pending) == ([], [])
    watched.start(was_idle=True)
    watched.start(was_idle=True)
    assert len(clock.pending) == 1
    watched.cancel()
    assert clock.pending == []
