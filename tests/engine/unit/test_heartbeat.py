"""Heartbeats: which agents are silent when heartbeats stop, and for how long."""

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

from .test_agent_monitor import NOTIFY, MonitorHarness

HEARTBEAT_SPEC = msgspec.structs.replace(NOTIFY, is_sdk=True)
HEARTBEAT = ("READY=1", "X_ARGOSY_HEALTH=ok")
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


def run_with_monitor(tmp_path: Path, test: Any) -> None:
    async def go() -> None:
        it = MonitorHarness(tmp_path)
        try:
            test(it)
        finally:
            it.close()

    asyncio.run(go())


def test_agent_is_silent_once_until_next_heartbeat(tmp_path: Path) -> None:
    def test(it: MonitorHarness) -> None:
        it.monitor.start(HEARTBEAT_SPEC, os.getpid())
        assert not it.monitor.has_fallen_silent(later(99), 0), (
            "it is not ready yet, and has its start deadline"
        )
        it.send(*HEARTBEAT)
        it.monitor.drain()
        assert not it.monitor.has_fallen_silent(later(SILENT_AFTER_S - 1), 0)
        assert it.monitor.silent_s is None
        assert it.monitor.has_fallen_silent(later(SILENT_AFTER_S), 0)
        assert not it.monitor.has_fallen_silent(later(SILENT_AFTER_S + 1), 0), "that is told once"
        assert it.monitor.silent_s is not None
        it.send(*HEARTBEAT)
        it.monitor.drain()
        assert (it.monitor.silent_s, it.received) == (None, ["ok", "ok"])

    run_with_monitor(tmp_path, test)


def test_monitor_reads_queued_heartbeat_before_it_reports_silence(tmp_path: Path) -> None:
    def test(it: MonitorHarness) -> None:
        it.monitor.start(HEARTBEAT_SPEC, os.getpid())
        it.send(*HEARTBEAT)
        it.monitor.drain()
        it.monitor._last_message_at -= SILENT_AFTER_S  # the supervisor was stopped meanwhile
        it.send(*HEARTBEAT)
        assert not it.monitor.has_fallen_silent(later(0), 0)

    run_with_monitor(tmp_path, test)


def test_supervisor_pause_does_not_count_as_silence(tmp_path: Path) -> None:
    def test(it: MonitorHarness) -> None:
        it.monitor.start(HEARTBEAT_SPEC, os.getpid())
        it.send(*HEARTBEAT)
        it.monitor.drain()
        assert not it.monitor.has_fallen_silent(later(100), 99.0)
        assert it.monitor.has_fallen_silent(later(100 + SILENT_AFTER_S), 0)

    run_with_monitor(tmp_path, test)


@pytest.mark.parametrize(
    ("reports", "is_silent"),
    [
        ([("READY=1",)], False),
        ([("READY=1",), ("WATCHDOG=1",), ("WATCHDOG=1",)], False),
        ([("READY=1",), ("X_ARGOSY_HEALTH=ok",), ("X_ARGOSY_HEALTH=degraded",)], False),
        ([("READY=1",), ("X_ARGOSY_HEALTH=ok",), ("X_ARGOSY_HEALTH=ok",)], True),
    ],
)
def test_script_is_silent_only_if_it_repeated_its_health(
    tmp_path: Path, reports: list[tuple[str, ...]], is_silent: bool
) -> None:
    def test(it: MonitorHarness) -> None:
        it.monitor.start(NOTIFY, os.getpid())
        for words in reports:
            it.send(*words)
        it.monitor.drain()
        assert it.monitor.has_fallen_silent(later(99), 0) is is_silent

    run_with_monitor(tmp_path, test)


def test_adopted_agent_is_silent_only_after_first_heartbeat(tmp_path: Path) -> None:
    def test(it: MonitorHarness) -> None:
        it.monitor.start_adopted(HEARTBEAT_SPEC, os.getpid(), was_ready=True)
        assert not it.monitor.has_fallen_silent(later(99), 0), "no report yet: its start deadline decides"
        it.send(*HEARTBEAT)
        it.monitor.drain()
        assert not it.monitor.has_fallen_silent(later(1), 0)
        it.monitor.stop()
        assert not it.monitor.has_fallen_silent(later(99), 0)

    run_with_monitor(tmp_path, test)


def test_silence_overrides_last_reported_health() -> None:
    for health in ("ok", "degraded", "failing", None):
        assert health_event(health, ["B"], 74.4) == (UnitEvent.SILENT, "silent for 74 s")


def test_silent_failing_agent_stays_failing_with_its_reason() -> None:
    failing = msgspec.structs.replace(STATUS, state=State.FAILING, health="failing", reason="no disk")
    told = with_silence(failing, 9.0)
    assert (told.state, told.health, told.reason, told.silent_s) == ("failing", "failing", "no disk", 9.0)


def test_heartbeat_watch_passes_its_own_pause() -> None:
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


def test_remote_agent_silence_grows_without_updates() -> None:
    reachability: Any = SimpleNamespace(is_marked_failed=False, is_connected=True)
    spec: Any = SimpleNamespace(machine="pc2")
    remote, renewed = RemoteAgent("A", spec, reachability), RemoteAgent("A", spec, reachability)
    remote.update_status(with_silence(STATUS, 8.0), 0.0)
    remote._received_at = time.monotonic() - 66
    renewed.copy_status_from(remote)
    for each in (remote, renewed):
        report = each.to_status()
        assert report.silent_s is not None
        assert 74 <= report.silent_s < 80
        assert report.reason == f"silent for {report.silent_s:.0f} s"
        assert report.health == "degraded"
    remote.update_status(STATUS, 0.0)
    assert remote.to_status() is STATUS
