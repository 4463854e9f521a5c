"""Full-disk trials of a hub's store and its alerts; `python full_disk.py DIR`, in a mount
namespace of its own.

Prints an account of what was acknowledged, said and found, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import ArgosyError
from argosy.fleet.loader import load_fleet
from argosy.hub.alerts import alert_manager as watching
from argosy.hub.alerts import delivery as delivering
from argosy.hub.alerts.actions import ActionExecutor
from argosy.hub.alerts.alert_manager import AlertManager
from argosy.hub.store import store_writer as keeping
from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import DEFAULT_LIMITS, RetentionLimits, StoreWriter
from rig.receiver import Receiver

PATIENCE_S: Final = 60.0
TEXT: Final = "x" * 2000
DISK: Final = "36m"
ROUNDS: Final = 25
LEFT_BYTES: Final = 2 << 20  # by another program
BOUND_BYTES: Final = 6 << 20


def event(number: int) -> HubEvent:
    return HubEvent(int(time.time() * 1000), "said", "A", {"number": number, "text": TEXT})


FLEET: Final = """
fleet: toy
hub: {{alerts: {{webhook: "http://127.0.0.1:{port}/", after: 50ms, clear: 50ms}}}}
agents: {{A: {{run: a.py}}, B: {{run: a.py, needs: [A]}}, C: {{run: a.py}}}}
"""


class Trial:
    """A writer on the small disk, and what it has acknowledged."""

    def __init__(self, disk: Path) -> None:
        self.path = disk / "hub.db"
        self.ballast = disk / "ballast"
        self.acknowledged: list[int] = []
        self.count = 0

    def fill_disk_up_to_reserve(self) -> None:
        """Fill the disk up, but for what is left to the hub."""
        fill_up(self.ballast)
        os.truncate(self.ballast, self.ballast.stat().st_size - LEFT_BYTES)

    def open(self, bounds: RetentionLimits = DEFAULT_LIMITS, **more: Any) -> StoreWriter:
        return StoreWriter(self.path, "mainpc", 0.005, bounds, **more)

    async def keep(self, writer: StoreWriter) -> None:
        self.count += 1
        number = self.count
        await writer.submit([event(number)], is_urgent=True)
        self.acknowledged.append(number)

    async def fill(self, writer: StoreWriter) -> list[asyncio.Task[None]]:
        """Keep events until the disk takes no more; return what waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                waiting = asyncio.create_task(self.keep(writer))
                while not waiting.done() and not writer.failure:
                    await asyncio.sleep(0.002)
                if not waiting.done():
                    return [waiting]

    async def numbers(self, writer: StoreWriter) -> list[int]:
        found = await writer.read(lambda reading: reading.events(limit=10**6))
        return sorted(each.event.body["number"] for each in found if each.event.kind == "said")

    def open_error(self) -> str:
        """Return what a hub says that is started now."""
        try:
            RecordStore(self.path, "mainpc").close()
        except ArgosyError as error:
            return str(error)
        return ""


async def fills_disk(disk: Path, elsewhere: Path) -> dict[str, Any]:
    """Let a hub fill what another program has left of the disk, and give that back."""
    trial = Trial(disk)
    trial.fill_disk_up_to_reserve()
    writer = trial.open()
    waiting = await trial.fill(writer)
    account: dict[str, Any] = {"failure": writer.failure, "acknowledged_when_full": len(trial.acknowledged)}
    account["kept_when_full"] = await trial.numbers(writer) == trial.acknowledged
    other = StoreWriter(elsewhere / "other.db", "pc2", 0.005)
    await other.store_batches(await writer.records_after([], 1 << 30, 0.0))
    account["served_when_full"] = await trial.numbers(other) == trial.acknowledged
    waiting += [asyncio.create_task(trial.keep(writer)) for _ in range(20)]
    await asyncio.sleep(0)  # they are handed in
    keeping.MAX_WAITING = 10
    try:
        await trial.keep(writer)
    except keeping.StoreFullError as error:
        account["refused"] = str(error)
        trial.count -= 1
    trial.ballast.unlink()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*waiting)
        await trial.keep(writer)
    account["failure_when_there_is_room"] = writer.failure
    everything = list(range(1, trial.count + 1))
    account["kept"] = await trial.numbers(writer) == sorted(trial.acknowledged) == everything
    await other.store_batches(await writer.records_after(await other.positions(), 1 << 30, 0.0))
    account["served"] = await trial.numbers(other) == everything
    await writer.close()
    await other.close()
    return account


async def closes_on_full_disk(disk: Path, elsewhere: Path) -> dict[str, Any]:
    """Let a hub end in order while its disk is full, and its next life begin."""
    trial = Trial(disk)
    trial.fill_disk_up_to_reserve()
    writer = trial.open()
    waiting = await trial.fill(writer)
    epoch = writer.origin.epoch
    await writer.close()
    (said,) = await asyncio.gather(*waiting, return_exceptions=True)
    fill_up(trial.ballast)
    account: dict[str, Any] = {"waiter": str(said), "refused": trial.open_error()}
    trial.ballast.unlink()
    writer = trial.open()
    account["same_epoch"] = writer.origin.epoch == epoch
    account["kept"] = await trial.numbers(writer) == trial.acknowledged
    trial.count = trial.acknowledged[-1]
    await trial.keep(writer)
    account["goes_on"] = await trial.numbers(writer) == trial.acknowledged
    await writer.close()
    return account


class TrialHub:
    """One life of a hub on the small disk: its writer, and its watch."""

    def __init__(self, trial: Trial, elsewhere: Path) -> None:
        fleet = elsewhere / "fleet.yaml"
        self.fleet = load_fleet(fleet)
        self.writer = trial.open(on_appended=lambda *what: self.watch.update(*what))
        self.acts = ActionExecutor(self.writer, locate_state_dir(fleet))
        self.watch = AlertManager(self.writer, "mainpc", self.fleet, [], self.acts)

    async def begin(self) -> None:
        await self.watch.restore()
        self.watch.mark_status_received()
        self.running = asyncio.create_task(self.watch.run())

    def say(self, state: str, *agents: str) -> None:
        now_ms = int(time.time() * 1000)
        self.writer.submit([HubEvent(now_ms, "state", agent, {"state": state}) for agent in agents])

    def open(self) -> list[str]:
        return [each["key"] for each in self.watch.alerts()]

    async def alerts(self) -> list[dict[str, Any]]:
        return [each.event.body for each in await self.writer.read(lambda reading: reading.alerts("mainpc"))]

    async def until_noted(self, count: int) -> None:
        """Return when the disk knows that so many alerts have been delivered."""
        source = f"delivered to webhook of {self.writer.origin.epoch}"
        async with asyncio.timeout(PATIENCE_S):
            while True:
                alerts, sources = await self.writer.read(
                    lambda each: (each.alerts("mainpc"), each.source_positions())
                )
                if len(alerts) == count and sources.get(source, ("", 0))[1] == alerts[-1].number:
                    return
                await asyncio.sleep(0.002)

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.writer.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.002)


async def alerts_on_full_disk(disk: Path, elsewhere: Path) -> dict[str, Any]:
    """Let agents fail and come back while a hub's disk is full, and a receiver be away meanwhile."""
    receiver = Receiver()
    receiver.open()
    (elsewhere / "a.py").touch()
    (elsewhere / "fleet.yaml").write_text(FLEET.format(port=receiver.port))
    trial = Trial(disk)
    trial.fill_disk_up_to_reserve()
    hub = TrialHub(trial, elsewhere)
    await hub.begin()
    hub.say("ready", "A", "B", "C")
    waiting = await trial.fill(hub.writer)
    await until(lambda: len(receiver.said()) == 1)
    hub.say("failing", "A", "B")
    await until(lambda: hub.open() == ["store:mainpc", "agent:A"])
    account: dict[str, Any] = {"shown_but_not_stored": [each["key"] for each in await hub.alerts()] == []}
    await until(lambda: len(receiver.said()) == 2)
    receiver.close()
    hub.say("ready", "A", "B")
    await until(lambda: hub.open() == ["store:mainpc"])
    hub.say("failing", "C")
    await until(lambda: hub.watch.deliveries[0].waiting_count == 2 and hub.watch.deliveries[0].failure != "")
    hub.watch.configure(hub.fleet)  # a fleet file that is applied: receivers are begun anew
    receiver.open()
    await until(lambda: len(receiver.said()) == 4 and hub.watch.deliveries[0].waiting_count == 0)
    try:
        await hub.acts.record("restart", ["A"], "somebody")
    except ArgosyError as error:
        account["action"] = str(error)
    account["failure"] = hub.writer.failure
    trial.ballast.unlink()
    await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
    await until(lambda: len(receiver.said()) == 5)
    hub.say("ready", "C")
    await until(lambda: len(receiver.said()) == 6)
    await hub.until_noted(6)
    account["text"] = receiver.taken[0]["text"].replace(str(disk), "DISK")
    await hub.end()

    hub = TrialHub(trial, elsewhere)  # its next life tells only what is new
    await hub.begin()
    account["open_after_restart"] = hub.open()
    before = len(receiver.taken)
    hub.say("failing", "B")
    await until(lambda: len(receiver.said()) >= 7)
    alerts = await hub.alerts()
    account["told"] = receiver.said()
    account["delivered_after_restart"] = [each["subject"] for each in receiver.taken[before:]]
    account["stored_as_delivered"] = [each["id"] for each in alerts] == list(dict.fromkeys(receiver.keys))
    account["delivered_to_of_full_disk_alerts"] = [each.get("delivered_to") for each in alerts[:4]]
    trial.fill_disk_up_to_reserve()
    waiting = await trial.fill(hub.writer)
    await until(lambda: len(receiver.said()) == 8)
    await asyncio.wait_for(hub.end(), PATIENCE_S)  # while it is full
    account["at_last"] = receiver.said()[-1]
    await asyncio.gather(*waiting, return_exceptions=True)
    receiver.close()
    return account


async def starts_on_full_disk(disk: Path, elsewhere: Path) -> list[dict[str, Any]]:
    """Let a hub begin on a full disk: on the store of one that was closed, and without any."""
    receiver = Receiver()
    receiver.open()
    (elsewhere / "a.py").touch()
    (elsewhere / "fleet.yaml").write_text(FLEET.format(port=receiver.port))
    accounts = []
    for is_new in (False, True):
        trial = Trial(disk)
        if not is_new:
            writer = trial.open()
            for _ in range(20):
                await trial.keep(writer)
            await writer.close()
        fill_up(trial.ballast)
        accounts.append(await start_on_full_disk(trial, elsewhere, receiver))
        for path in disk.iterdir():
            path.unlink()
    receiver.close()
    return accounts


async def start_on_full_disk(trial: Trial, elsewhere: Path, receiver: Receiver) -> dict[str, Any]:
    told_before = len(receiver.said())
    hub = TrialHub(trial, elsewhere)
    failure = hub.writer.failure
    await hub.begin()
    hub.say("ready", "A")
    account: dict[str, Any] = {"there": await trial.numbers(hub.writer)}
    other = StoreWriter(elsewhere / f"other{told_before}.db", "pc2", 0.005)
    await other.store_batches(await hub.writer.records_after([], 1 << 30, 0.0))
    account["served"] = await trial.numbers(other) == trial.acknowledged
    waiting = asyncio.create_task(trial.keep(hub.writer))
    await until(lambda: len(receiver.said()) == told_before + 1)
    account["says_why"] = bool(failure) and hub.writer.failure == failure in receiver.taken[-1]["text"]
    trial.ballast.unlink()
    await asyncio.wait_for(waiting, PATIENCE_S)
    await until(lambda: len(receiver.said()) == told_before + 2)
    account["told"] = receiver.said()[told_before:]
    account["kept"] = await trial.numbers(hub.writer)
    account["alerts"] = [each["kind"] for each in await hub.alerts()]
    await other.store_batches(await hub.writer.records_after(await other.positions(), 1 << 30, 0.0))
    account["served_at_last"] = await trial.numbers(other) == trial.acknowledged
    await hub.end()
    await other.close()
    return account


async def keeps_size_limit(disk: Path, elsewhere: Path) -> dict[str, Any]:
    """Let a hub write, and another one pull, many times what they may keep, and more than the disk has."""
    bounds = DEFAULT_LIMITS._replace(max_bytes=BOUND_BYTES)
    trial = Trial(disk)
    writer, other = trial.open(bounds), StoreWriter(disk / "other.db", "pc2", 0.005, bounds)
    failures = set()
    largest = 0
    for first in range(0, ROUNDS * 500, 500):
        await writer.submit([event(number) for number in range(first, first + 500)], is_urgent=True)
        batches = await writer.records_after(await other.positions(), 1 << 20, 0.0)
        await other.store_batches(batches)
        largest = max(largest, *(path.stat().st_size for path in disk.glob("*.db")))
        failures |= {writer.failure, other.failure}
    last = [await trial.numbers(each) for each in (writer, other)]
    newest = range(ROUNDS * 500 - 400, ROUNDS * 500)
    account = {
        "failures": sorted(failures),
        "largest_over_bound": largest / BOUND_BYTES,
        "written_over_bound": ROUNDS * 500 * len(TEXT) / BOUND_BYTES,
        "newest_are_there": [each[-400:] == list(newest) for each in last],
    }
    await writer.close()
    await other.close()
    return account


def fill_up(ballast: Path) -> None:
    """Take what is left of the disk."""
    with ballast.open("ab", buffering=0) as file:
        for piece in (1 << 20, 1 << 14, 512):
            with contextlib.suppress(OSError):  # the disk is full: such a piece has no room any more
                while file.write(bytes(piece)) == piece:
                    pass


def main(folder: Path) -> None:
    """Run each trial on a disk of its own, and print what came of it."""
    accounts = {}
    for trial in (
        fills_disk,
        closes_on_full_disk,
        alerts_on_full_disk,
        starts_on_full_disk,
        keeps_size_limit,
    ):
        disk, elsewhere = folder / "disk", folder / trial.__name__
        disk.mkdir(exist_ok=True)
        elsewhere.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], check=True)
        accounts[trial.__name__] = asyncio.run(trial(disk, elsewhere))
        subprocess.run(["umount", str(disk)], check=True)
    print(json.dumps(accounts))


if __name__ == "__main__":
    # It is asked again soon, here, and nobody waits long.
    keeping._RETRY_S = delivering.DIRECT_DELIVERY_AFTER_S = delivering._FIRST_BACKOFF_S = (
        watching.EVALUATE_EVERY_S
    ) = 0.05
    main(Path(sys.argv[1]))
