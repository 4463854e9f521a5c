"""Metrics reporter: samples are taken only for a hub that exists, and sent by the method it knows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from argosy.agent.metrics_reporter import MetricsReporter
from argosy.wire.client.peer import Peer
from argosy.wire.errors import UnknownMethod


def test_metrics_reporter_measures_only_after_hub_appeared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.agent.metrics_reporter.INTERVAL_S", 0.001)
    socket = tmp_path / "hub"
    measured = asyncio.Event()
    count = 0

    def document() -> dict[str, Any]:
        nonlocal count
        count += 1
        measured.set()
        return {"status": "ok", "uptime": 1.0}

    def no_peer() -> Peer:
        raise AssertionError("its socket is gone")

    async def test() -> None:
        reporter = MetricsReporter("A", "1", str(socket), no_peer, document)
        running = asyncio.create_task(reporter.run())
        for _ in range(10):
            reporter.check_for_hub()
            await asyncio.sleep(0)
        assert not running.done()
        assert count == 0
        socket.touch()
        reporter.check_for_hub()
        socket.unlink()  # it restarts: what is measured now waits for it
        async with asyncio.timeout(30):
            while count < 3:
                measured.clear()
                await measured.wait()
        running.cancel()

    asyncio.run(test())


def test_metrics_reporter_uses_old_method_for_earlier_hub() -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    class EarlierHub:
        async def call(self, method: str, **arguments: Any) -> int:
            calls.append((method, arguments))
            if method != "take_figures":
                raise UnknownMethod("hub", method, "unknown-method", "")
            return 1

    async def test() -> None:
        hub: Any = EarlierHub()
        reporter = MetricsReporter("A", "1", "", lambda: hub, lambda: {"status": "ok"})
        reporter._measure()
        await reporter._send()
        assert not reporter._pending

    asyncio.run(test())
    assert [method for method, _ in calls] == ["submit_samples", "take_figures"]
    assert set(calls[1][1]) == {"timeout", "agent", "life", "number", "figures", "dropped"}
