"""Alert delivery: each receiver gets each alert once, in order, despite full stores and failed receivers."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.hub.alerts import delivery as delivering
from argosy.hub.alerts.delivery import AlertDelivery, PendingAlerts, command_sender, webhook_sender
from argosy.hub.store import store_writer as keeping
from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import HubEvent, MetricSample
from argosy.hub.store.store_writer import StoreWriter
from rig.webserver import raw_server

PATIENCE_S = 30.0
NAMES = ("first", "second")
NOW_MS = int(time.time() * 1000)  # nothing is dropped as too old


class Scene:
    """A writer whose disk can be full, and two receivers that can be away."""

    def __init__(self, path: Path) -> None:
        self.writer = StoreWriter(path, "pc1", 0.001)
        self.is_full = False
        self.away: set[str] = set()
        self.taken: dict[str, list[tuple[str, int]]] = {name: [] for name in NAMES}  # key and number
        self.raised = 0
        self.pending_alerts = PendingAlerts(self.writer, self._wake)
        self.deliveries: list[AlertDelivery] = []
        self.running: list[asyncio.Task[None]] = []
        self._write = self.writer._store.append
        self.writer._store.append = self._append  # type: ignore[method-assign]
        self.renew()

    def _append(self, *what: Any) -> Any:
        if self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        return self._write(*what)

    def _wake(self) -> None:
        for each in self.deliveries:
            each.wake()

    def _send(self, name: str) -> Callable[[bytes, str], object]:
        def send(body: bytes, key: str) -> None:
            if name in self.away:
                raise OSError("nobody is there")
            self.taken[name].append((key, msgspec.json.decode(body)["number"]))

        return send

    def renew(self) -> None:
        """Begin anew with the receivers, as a fleet file that is applied makes a hub do."""
        for task in self.running:
            task.cancel()
        self.deliveries = [
            AlertDelivery(self.writer, self.pending_alerts, "pc1", name, self._send(name)) for name in NAMES
        ]
        self.running = [asyncio.ensure_future(each.run()) for each in self.deliveries]

    def look(self, *, is_new: bool) -> None:
        """Do what a watch does each time that it looks."""
        events = [HubEvent(NOW_MS, "alert", "A", {"number": self.raised, "kind": "raised"})] if is_new else []
        self.raised += is_new
        self.pending_alerts.add(events)
        for each in self.deliveries:
            each.wake_if_overdue()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                await asyncio.sleep(0.001)
                self.look(is_new=False)

    def have(self, name: str) -> list[int]:
        """Return the numbers that a receiver has, each key once: what comes again is known by its key."""
        return list(dict(self.taken[name]).values())

    async def end(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        await self.writer.close()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_RETRY_S", 0.005)
    monkeypatch.setattr(delivering, "DIRECT_DELIVERY_AFTER_S", 0.005)
    monkeypatch.setattr(delivering, "_FIRST_BACKOFF_S", 0.005)
    monkeypatch.setattr(delivering, "_MAX_BACKOFF_S", 0.01)


def run(trial: Callable[[Scene], Awaitable[None]], folder: Path) -> None:
    async def act() -> None:
        scene = Scene(folder / "hub.db")
        try:
            await trial(scene)
        finally:
            await scene.end()

    asyncio.run(act())


STEP = st.sampled_from(["raise", "raise", "fill", "room", "away", "back", "renew", "pass"])


@given(st.lists(STEP, max_size=25))
@settings(max_examples=40, deadline=None)
def test_delivery_sends_each_alert_to_each_receiver_once_and_in_order(steps: Sequence[str]) -> None:
    async def trial(scene: Scene) -> None:
        for step in steps:
            match step:
                case "fill" | "room":
                    scene.is_full = step == "fill"
                case "away":
                    scene.away = {"first"}
                case "back":
                    scene.away = set()
                case "renew":
                    scene.renew()
                case "pass":
                    await asyncio.sleep(0.002)
            scene.look(is_new=step == "raise")
            await asyncio.sleep(0)
        scene.is_full, scene.away = False, set()
        everything = list(range(scene.raised))
        await scene.until(lambda: scene.pending_alerts.persisted_count == scene.raised)
        await scene.until(lambda: all(scene.have(name) == everything for name in NAMES))
        alerts = await scene.writer.read(lambda reading: reading.alerts("pc1"))
        assert [each.event.body["number"] for each in alerts] == everything
        for name in NAMES:
            assert list(dict(scene.taken[name])) == [each.event.body["id"] for each in alerts]

    with tempfile.TemporaryDirectory() as folder:
        run(trial, Path(folder))


def test_delivery_does_not_repeat_alert_that_was_sent_before_it_was_stored(tmp_path: Path) -> None:
    async def one(scene: Scene) -> None:
        scene.is_full = True
        scene.look(is_new=True)
        await scene.until(lambda: [each.waiting_count for each in scene.deliveries] == [0, 0])
        assert all(scene.have(name) == [0] for name in NAMES)
        for task in scene.running:
            task.cancel()  # so that nobody notes that it has been delivered
        scene.is_full = False
        await scene.until(lambda: scene.pending_alerts.persisted_count == 1)

    async def other(scene: Scene) -> None:
        scene.raised = 1
        scene.look(is_new=True)
        await scene.until(lambda: all(scene.have(name) == [1] for name in NAMES))

    run(one, tmp_path)
    run(other, tmp_path)


def test_delivery_derives_key_of_old_alert_from_epoch_and_number(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "hub.db", "pc1")
    store.append([HubEvent(NOW_MS, "alert", "A", {"number": 7})])
    epoch = store.origin.epoch
    store.close()

    async def trial(scene: Scene) -> None:
        await scene.until(lambda: all(scene.taken.values()))
        assert scene.taken == {name: [(f"{epoch}-1", 7)] for name in NAMES}

    run(trial, tmp_path)


def test_pending_alerts_keep_bounded_number_of_alerts_refused_by_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_WAITING", 2)
    monkeypatch.setattr(delivering, "MAX_PENDING", 4)

    async def trial(scene: Scene) -> None:
        scene.is_full = True
        scene.writer.submit([HubEvent(NOW_MS, "said", "A", {})] * 3)
        await scene.until(lambda: bool(scene.writer.failure))
        scene.away = set(NAMES)
        for _ in range(6):
            scene.look(is_new=True)
        assert scene.pending_alerts.pending_count("first") == 4
        scene.is_full, scene.away = False, set()
        await scene.until(lambda: all(scene.have(name) == [2, 3, 4, 5] for name in NAMES))

    run(trial, tmp_path)


def test_store_writer_accepts_events_while_it_refuses_metric_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_WAITING", 2)
    figures = [MetricSample("A", ("count",), NOW_MS, bytes(8))] * 3

    async def trial(scene: Scene) -> None:
        scene.is_full = True
        scene.writer.submit((), figures)
        await scene.until(lambda: bool(scene.writer.failure))
        with pytest.raises(keeping.StoreFullError, match="database or disk is full"):
            scene.writer.submit((), figures)
        waiter = scene.writer.submit([HubEvent(NOW_MS, "said", "A", {})])
        with pytest.raises(keeping.StoreFullError):
            await scene.writer.append_or_raise([HubEvent(NOW_MS, "action", "A", {})])
        gone = asyncio.ensure_future(scene.writer.append([HubEvent(NOW_MS, "said", "B", {})]))
        await asyncio.sleep(0)
        gone.cancel()
        scene.is_full = False
        await asyncio.wait_for(waiter, PATIENCE_S)
        events = await scene.writer.read(lambda reading: reading.events())
        assert sorted(each.event.subject for each in events) == ["A", "B"]

    run(trial, tmp_path)


TAKEN = b"HTTP/1.0 204 No Content\r\n\r\n"


ODD = [
    b"what?\r\n\r\n",
    b"HTTP/1.0 2x4 no\r\n\r\n",
    b"",
    b"HTTP/1.0 500 no\r\n\r\n",
    b"HTTP/1.0 200 " + 70_000 * b"x",
]


@pytest.mark.parametrize("answer", ODD, ids=["no-http", "bad-code", "nothing", "refused", "too-long"])
def test_webhook_sender_raises_os_error_for_bad_answer(answer: bytes) -> None:
    with raw_server([answer]) as url, pytest.raises(OSError):
        webhook_sender(url)(b"{}", "key")


@pytest.mark.parametrize(
    "url", ["nowhere", "http://[1", "http://127.0.0.1:x/", "http://a b/", "http://\x00/"]
)
def test_webhook_sender_raises_os_error_for_invalid_url(url: str) -> None:
    with pytest.raises(OSError):
        webhook_sender(url)(b"{}", "key")


def test_command_sender_raises_os_error_for_failing_command(tmp_path: Path) -> None:
    for words in (["./missing"], ["a\x00b"], ["false"]):
        with pytest.raises(OSError):
            command_sender(words, str(tmp_path))(b"{}", "key")


def test_delivery_retries_until_receiver_answers_correctly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.hub.alerts.delivery._FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr("argosy.hub.alerts.delivery._MAX_BACKOFF_S", 0.01)

    async def go() -> None:
        writer = StoreWriter(tmp_path / "hub.db", "pc1", 0.0)
        now_ms = int(time.time() * 1000)
        await writer.append([HubEvent(now_ms, "alert", "A", {"id": str(number)}) for number in range(3)])
        with raw_server([*ODD, TAKEN]) as url:
            pending = PendingAlerts(writer, lambda: None)
            delivery = AlertDelivery(writer, pending, "pc1", "webhook", webhook_sender(url))
            running = asyncio.ensure_future(delivery.run())
            async with asyncio.timeout(PATIENCE_S):
                while writer.source_position(f"delivered to webhook of {writer.origin.epoch}")[1] < 3:
                    assert not running.done()
                    await asyncio.sleep(0.002)
            assert delivery.failure == ""
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await writer.close()

    asyncio.run(go())
