"""Delivery: whatever a receiver answers, or is, its alerts wait for it and get there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from argosy.hub.alerts.delivery import AlertDelivery, command_sender, webhook_sender
from argosy.hub.alerts.pending_alerts import PendingAlerts
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreWriter
from rig.webserver import raw_server

PATIENCE_S = 30.0
TAKEN = b"HTTP/1.0 204 No Content\r\n\r\n"


ODD = [
    b"what?\r\n\r\n",
    b"HTTP/1.0 2x4 no\r\n\r\n",
    b"",
    b"HTTP/1.0 500 no\r\n\r\n",
    b"HTTP/1.0 200 " + 70_000 * b"x",
]


@pytest.mark.parametrize("answer", ODD, ids=["no-http", "bad-code", "nothing", "refused", "too-long"])
def test_what_a_webhook_does_not_take_is_an_error_of_the_network(answer: bytes) -> None:
    with raw_server([answer]) as url, pytest.raises(OSError):
        webhook_sender(url)(b"{}", "key")


@pytest.mark.parametrize(
    "url", ["nowhere", "http://[1", "http://127.0.0.1:x/", "http://a b/", "http://\x00/"]
)
def test_a_url_that_is_none_is_an_error_of_the_network(url: str) -> None:
    with pytest.raises(OSError):
        webhook_sender(url)(b"{}", "key")


def test_a_command_that_cannot_be_is_an_error_too(tmp_path: Path) -> None:
    for words in (["./missing"], ["a\x00b"], ["false"]):
        with pytest.raises(OSError):
            command_sender(words, str(tmp_path))(b"{}", "key")


def test_alerts_wait_for_a_receiver_that_answers_oddly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.hub.alerts.delivery._FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr("argosy.hub.alerts.delivery._MAX_BACKOFF_S", 0.01)

    async def go() -> None:
        keeper = StoreWriter(tmp_path / "hub.db", "pc1", 0.0)
        now_ms = int(time.time() * 1000)
        await keeper.append([HubEvent(now_ms, "alert", "A", {"id": str(number)}) for number in range(3)])
        with raw_server([*ODD, TAKEN]) as url:
            delivery = AlertDelivery(keeper, PendingAlerts(keeper), "pc1", "webhook", webhook_sender(url))
            running = asyncio.ensure_future(delivery.run())
            async with asyncio.timeout(PATIENCE_S):
                while keeper.source_position(f"delivered to webhook of {keeper.origin.epoch}")[1] < 3:
                    assert not running.done()
                    await asyncio.sleep(0.002)
            assert delivery.failure == ""
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await keeper.close()

    asyncio.run(go())
