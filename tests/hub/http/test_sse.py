"""SSE broadcaster: clients get each change, slow clients get a new snapshot, and none delays the others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from argosy.hub.http.sse import MAX_QUEUED, SseBroadcaster, SseResponse, encode_event

SCOPE = {"type": "http", "method": "GET", "path": "/events", "headers": []}


class Browser:
    """One viewer: takes what it is sent while its gate is open."""

    def __init__(self, viewers: SseBroadcaster, stuck_s: float = 30.0) -> None:
        self.taken = b""
        self.reads = asyncio.Event()
        self.reads.set()
        self._gone = asyncio.Event()
        self._has_data = asyncio.Event()
        self.task = asyncio.ensure_future(SseResponse(viewers, stuck_s)(SCOPE, self._receive, self._send))

    async def _receive(self) -> Any:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.taken += message.get("body", b"")
        self._has_data.set()

    def leave(self) -> None:
        self._gone.set()

    def received(self) -> list[Any]:
        return [
            json.loads(line[6:]) for line in self.taken.decode().splitlines() if line.startswith("data: ")
        ]

    async def until(self, change: Any) -> None:
        async with asyncio.timeout(30):
            while change not in self.received():
                self._has_data.clear()
                await self._has_data.wait()


def test_sse_client_receives_snapshot_and_then_every_change() -> None:
    async def scene() -> None:
        viewers = SseBroadcaster(lambda: [{"agent": "A"}, {"agent": "B"}])
        browsers = [Browser(viewers) for _ in range(20)]
        for browser in browsers:
            await browser.until({"agent": "B"})
        for number in range(50):
            viewers.publish({"change": number})
        for browser in browsers:
            await browser.until({"change": 49})
            assert browser.received() == [{"agent": "A"}, {"agent": "B"}, *({"change": n} for n in range(50))]
            assert b"retry: 1000" in browser.taken
        for browser in browsers:
            browser.leave()
        await asyncio.gather(*(browser.task for browser in browsers))
        assert len(viewers) == 0

    asyncio.run(scene())


def test_slow_sse_client_receives_new_snapshot_and_others_every_change() -> None:
    async def scene() -> None:
        state = {"agent": "A", "number": 0}
        viewers = SseBroadcaster(lambda: [dict(state)])
        quick, slow = Browser(viewers), Browser(viewers)
        for browser in (quick, slow):
            await browser.until({"agent": "A", "number": 0})
        slow.reads.clear()
        last = 3 * MAX_QUEUED
        for number in range(1, last + 1):
            state["number"] = number
            viewers.publish(dict(state))
            await asyncio.sleep(0)
        await quick.until({"agent": "A", "number": last})
        assert [each["number"] for each in quick.received()] == list(range(last + 1))
        slow.reads.set()
        await slow.until({"agent": "A", "number": last})
        assert len(slow.received()) < MAX_QUEUED
        for browser in (quick, slow):
            browser.leave()
        await asyncio.gather(quick.task, slow.task)

    asyncio.run(scene())


def test_stuck_sse_client_is_disconnected() -> None:
    async def scene() -> None:
        viewers = SseBroadcaster(lambda: [{"agent": "A"}])
        stuck = Browser(viewers, stuck_s=0.01)
        stuck.reads.clear()
        await asyncio.wait_for(stuck.task, 30)
        assert (viewers.disconnect_count, len(viewers)) == (1, 0)

    asyncio.run(scene())


def test_sse_clients_are_disconnected_when_broadcaster_ends() -> None:
    async def scene() -> None:
        viewers = SseBroadcaster(list)
        browser = Browser(viewers)
        while not len(viewers):
            await asyncio.sleep(0)
        viewers.end()
        await asyncio.wait_for(browser.task, 30)

    asyncio.run(scene())


def test_encode_event_keeps_multiline_text_in_one_event() -> None:
    assert encode_event({"reason": "a\n\ndata: b"}).count(b"\n") == 2
