"""Delivery: a full store, or a receiver that is away or answers oddly: each has each alert, in order."""

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
    """A keeper whose disk can be full, and two receivers that can be away."""

    def __init__(self, path: Path) -> None:
        self.keeper = StoreWriter(path, "pc1", 0.001)
        self.is_full = False
        self.away: set[str] = set()
        self.taken: dict[str, list[tuple[str, int]]] = {name: [] for name in NAMES}  # key and number
        self.raised = 0
        self.unkept = PendingAlerts(self.keeper, self._wake)
        self.deliveries: list[AlertDelivery] = []
        self.running: list[asyncio.Task[None]] = []
        self._write = self.keeper._store.append
        self.keeper._store.append = self._written  # type: ignore[method-assign]
        self.renew()

    def _written(self, *what: Any) -> Any:
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
            AlertDelivery(self.keeper, self.unkept, "pc1", name, self._send(name)) for name in NAMES
        ]
        self.running = [asyncio.ensure_future(each.run()) for each in self.deliveries]

    def look(self, *, is_new: bool) -> None:
        """Do what a watch does each time that it looks."""
        events = [HubEvent(NOW_MS, "alert", "A", {"number": self.raised, "kind": "raised"})] if is_new else []
        self.raised += is_new
        self.unkept.add(events)
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
        await self.keeper.close()


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
def test_each_receiver_has_each_alert_in_order_whatever_comes_between(steps: Sequence[str]) -> None:
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
        await scene.until(lambda: scene.unkept.persisted_count == scene.raised)
        await scene.until(lambda: all(scene.have(name) == everything for name in NAMES))
        alerts = await scene.keeper.read(lambda reading: reading.alerts("pc1"))
        assert [each.event.body["number"] for each in alerts] == everything
        for name in NAMES:
            assert list(dict(scene.taken[name])) == [each.event.body["id"] for each in alerts]

    with tempfile.TemporaryDirectory() as folder:
        run(trial, Path(folder))


def test_what_was_had_before_it_was_kept_is_not_told_again_by_this_life_nor_the_next(tmp_path: Path) -> None:
    async def one(scene: Scene) -> None:
        scene.is_full = True
        scene.look(is_new=True)
        await scene.until(lambda: [each.waiting_count for each in scene.deliveries] == [0, 0])
        assert all(scene.have(name) == [0] for name in NAMES)
        for task in scene.running:
            task.cancel()  # so that nobody notes that it has been delivered
        scene.is_full = False
        await scene.until(lambda: scene.unkept.persisted_count == 1)

    async def other(scene: Scene) -> None:
        scene.raised = 1
        scene.look(is_new=True)
        await scene.until(lambda: all(scene.have(name) == [1] for name in NAMES))

    run(one, tmp_path)
    run(other, tmp_path)


def test_an_alert_of_an_earlier_version_has_the_key_of_its_number(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "hub.db", "pc1")
    store.append([HubEvent(NOW_MS, "alert", "A", {"number": 7})])
    epoch = store.origin.epoch
    store.close()

    async def trial(scene: Scene) -> None:
        await scene.until(lambda: all(scene.taken.values()))
        assert scene.taken == {name: [(f"{epoch}-1", 7)] for name in NAMES}

    run(trial, tmp_path)


def test_what_the_keeper_refuses_waits_for_it_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_WAITING", 2)
    monkeypatch.setattr(delivering, "MAX_PENDING", 4)

    async def trial(scene: Scene) -> None:
        scene.is_full = True
        scene.keeper.submit([HubEvent(NOW_MS, "said", "A", {})] * 3)
        await scene.until(lambda: bool(scene.keeper.failure))
        scene.away = set(NAMES)
        for _ in range(6):
            scene.look(is_new=True)
        assert scene.unkept.pending_count("first") == 4
        scene.is_full, scene.away = False, set()
        await scene.until(lambda: all(scene.have(name) == [2, 3, 4, 5] for name in NAMES))

    run(trial, tmp_path)


def test_figures_that_are_refused_leave_room_for_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_WAITING", 2)
    figures = [MetricSample("A", ("count",), NOW_MS, bytes(8))] * 3

    async def trial(scene: Scene) -> None:
        scene.is_full = True
        scene.keeper.submit((), figures)
        await scene.until(lambda: bool(scene.keeper.failure))
        with pytest.raises(keeping.StoreFullError, match="database or disk is full"):
            scene.keeper.submit((), figures)
        waiter = scene.keeper.submit([HubEvent(NOW_MS, "said", "A", {})])
        with pytest.raises(keeping.StoreFullError):
            await scene.keeper.append_or_raise([HubEvent(NOW_MS, "action", "A", {})])
        gone = asyncio.ensure_future(scene.keeper.append([HubEvent(NOW_MS, "said", "B", {})]))
        await asyncio.sleep(0)
        gone.cancel()
        scene.is_full = False
        await asyncio.wait_for(waiter, PATIENCE_S)
        events = await scene.keeper.read(lambda reading: reading.events())
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
            pending = PendingAlerts(keeper, lambda: None)
            delivery = AlertDelivery(keeper, pending, "pc1", "webhook", webhook_sender(url))
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
