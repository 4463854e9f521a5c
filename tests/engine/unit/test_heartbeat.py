"""Silence: who is missed when it beats no more, and how long it is said to be silent."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from argosy.engine.peering.remote_agent import RemoteAgent
from argosy.engine.protocol.messages import AgentStatus
from argosy.engine.protocol.state_machine import State, UnitEvent
from argosy.engine.unit.agent_monitor import SILENT_AFTER_S
from argosy.engine.unit.dependency_state import health_event
from argosy.engine.unit.heartbeat import CHECK_INTERVAL_S, HeartbeatWatch, with_silence

from .test_agent_monitor import NOTIFY, Listening

BEATING = msgspec.structs.replace(NOTIFY, is_sdk=True)
BEAT = ("READY=1", "X_ARGOSY_HEALTH=ok")
STATUS = AgentStatus(
    state=State.DEGRADED,
    health="ok",
    pid=7,
    machine="pc2",
    group=None,
    port=None,
    restarts=0,
    since_s=1.0,
    waiting_on=[],
    reason="",
    rss_bytes=None,
    pss_bytes=None,
    sampled_s=None,
)


def later(seconds: float) -> float:
    """Return the loop time in so many seconds."""
    return asyncio.get_running_loop().time() + seconds


def listening(tmp_path: Path, test: Any) -> None:
    async def go() -> None:
        it = Listening(tmp_path)
        try:
            test(it)
        finally:
            it.close()

    asyncio.run(go())


def test_an_agent_that_beats_no_more_is_silent_once_and_no_more_when_it_beats_again(tmp_path: Path) -> None:
    def test(it: Listening) -> None:
        it.signs.start(BEATING, os.getpid())
        assert not it.signs.has_fallen_silent(later(99), 0), "it is not ready yet, and has its start deadline"
        it.say(*BEAT)
        it.signs.drain()
        assert not it.signs.has_fallen_silent(later(SILENT_AFTER_S - 1), 0)
        assert it.signs.silent_s is None
        assert it.signs.has_fallen_silent(later(SILENT_AFTER_S), 0)
        assert not it.signs.has_fallen_silent(later(SILENT_AFTER_S + 1), 0), "that is told once"
        assert it.signs.silent_s is not None
        it.say(*BEAT)
        it.signs.drain()
        assert (it.signs.silent_s, it.heard) == (None, ["ok", "ok"])

    listening(tmp_path, test)


def test_a_beat_that_waits_in_the_socket_is_heard_before_silence_is_judged(tmp_path: Path) -> None:
    def test(it: Listening) -> None:
        it.signs.start(BEATING, os.getpid())
        it.say(*BEAT)
        it.signs.drain()
        it.signs._last_message_at -= SILENT_AFTER_S  # the supervisor was stopped meanwhile
        it.say(*BEAT)
        assert not it.signs.has_fallen_silent(later(0), 0)

    listening(tmp_path, test)


def test_a_pause_of_the_supervisor_is_no_silence_of_the_agent(tmp_path: Path) -> None:
    def test(it: Listening) -> None:
        it.signs.start(BEATING, os.getpid())
        it.say(*BEAT)
        it.signs.drain()
        assert not it.signs.has_fallen_silent(later(100), 99.0)
        assert it.signs.has_fallen_silent(later(100 + SILENT_AFTER_S), 0)

    listening(tmp_path, test)


@pytest.mark.parametrize(
    ("says", "is_missed"),
    [
        ([("READY=1",)], False),
        ([("READY=1",), ("WATCHDOG=1",), ("WATCHDOG=1",)], False),
        ([("READY=1",), ("X_ARGOSY_HEALTH=ok",), ("X_ARGOSY_HEALTH=degraded",)], False),
        ([("READY=1",), ("X_ARGOSY_HEALTH=ok",), ("X_ARGOSY_HEALTH=ok",)], True),
    ],
)
def test_a_script_is_missed_only_if_it_repeats_its_health_as_the_library_does(
    tmp_path: Path, says: list[tuple[str, ...]], is_missed: bool
) -> None:
    def test(it: Listening) -> None:
        it.signs.start(NOTIFY, os.getpid())
        for words in says:
            it.say(*words)
        it.signs.drain()
        assert it.signs.has_fallen_silent(later(99), 0) is is_missed

    listening(tmp_path, test)


def test_one_that_is_adopted_gets_its_time_to_beat(tmp_path: Path) -> None:
    def test(it: Listening) -> None:
        it.signs.start_adopted(BEATING, os.getpid(), was_ready=True)
        assert not it.signs.has_fallen_silent(later(99), 0), "no report yet: its start deadline decides"
        it.say(*BEAT)
        it.signs.drain()
        assert not it.signs.has_fallen_silent(later(1), 0)
        it.signs.stop()
        assert not it.signs.has_fallen_silent(later(99), 0)

    listening(tmp_path, test)


def test_silence_outweighs_what_was_said_before_it() -> None:
    for health in ("ok", "degraded", "failing", None):
        assert health_event(health, ["B"], 74.4) == (UnitEvent.SILENT, "silent for 74 s")


def test_a_failing_agent_that_is_silent_stays_failing_and_its_reason_too() -> None:
    failing = msgspec.structs.replace(STATUS, state=State.FAILING, health="failing", reason="no disk")
    told = with_silence(failing, 9.0)
    assert (told.state, told.health, told.reason, told.silent_s) == ("failing", "failing", "no disk", 9.0)


def test_the_watch_takes_its_own_pause_off() -> None:
    checks: list[tuple[float, float]] = []
    unit: Any = SimpleNamespace(check_heartbeat=lambda now, pause_s: checks.append((now, pause_s)))

    async def go() -> None:
        watch = HeartbeatWatch(asyncio.get_running_loop(), lambda: [unit])
        watch._check()
        watch._due -= 10 + CHECK_INTERVAL_S  # the loop did not turn for so long
        watch._check()
        watch.close()

    asyncio.run(go())
    (_, first), (_, second) = checks
    assert first == 0
    assert second >= 10


def test_silence_on_another_machine_grows_without_further_news() -> None:
    reachability: Any = SimpleNamespace(is_marked_failed=False, is_connected=True)
    spec: Any = SimpleNamespace(machine="pc2")
    distant, renewed = RemoteAgent("A", spec, reachability), RemoteAgent("A", spec, reachability)
    distant.update_status(with_silence(STATUS, 8.0), 0.0)
    distant._received_at = time.monotonic() - 66
    renewed.copy_status_from(distant)
    for each in (distant, renewed):
        report = each.to_status()
        assert report.silent_s is not None
        assert 74 <= report.silent_s < 80
        assert report.reason == f"silent for {report.silent_s:.0f} s"
        assert report.health == "degraded"
    distant.update_status(STATUS, 0.0)
    assert distant.to_status() is STATUS
