"""A store that is damaged, at rest or in use: it is set aside and told, and the hub goes on in a new one."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
import pytest

from argosy.engine.state.damaged_stores import describe_damage, find_damaged_stores
from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import HubEvent, MetricSample
from argosy.hub.store.store_reader import StoreReader
from argosy.hub.store.store_writer import StoreWriter

PATIENCE_S: Final = 20.0
SEEDS: Final = range(6)


def said(number: int) -> HubEvent:
    return HubEvent(int(time.time() * 1000), "state", f"A{number % 7}", {"state": "ready", "number": number})


def figures(number: int) -> MetricSample:
    return MetricSample("A", ("f", "g"), int(time.time() * 1000), array("d", [number, 0.5]).tobytes())


def fill(path: Path, count: int = 700) -> str:
    """Make a store that was closed in order, and return its epoch."""
    with closing(RecordStore(path, "mainpc")) as store:
        for number in range(count):
            store.append([said(number)], [figures(number)])
            store.compact()
        return store.origin.epoch


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def flip(path: Path, bits: int, seed: int, first: int = 0) -> None:
    dice, body = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(bits):
        body[dice.randrange(first, len(body))] ^= 1 << dice.randrange(8)
    with path.open("r+b") as file:  # the same file, as a disk that goes bad has it
        file.write(body)


def in_its_place_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def cut(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def write_noise(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(1 << 20))


def leave_only_a_log(path: Path) -> None:
    path.unlink()
    log_of(path).write_bytes(bytes.fromhex("377f0682") + bytes(28))


DAMAGES: Final[dict[str, Callable[[Path], object]]] = {
    "damaged header": lambda path: path.write_bytes(bytes(40) + path.read_bytes()[40:]),
    "2,000 flips": lambda path: flip(path, 2000, 7),
    "a folder": in_its_place_a_folder,
    "cut to nothing": lambda path: cut(path, 0.0),
    "cut in half": lambda path: cut(path, 0.5),
    "noise": write_noise,
}
AT_REST: Final = {**DAMAGES, "only its log": leave_only_a_log}
IN_USE: Final = {**DAMAGES, "deleted": Path.unlink, "replaced": replace}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.02)


async def numbers(keeper: StoreWriter) -> list[int]:
    found = await keeper.read(lambda reading: reading.events(limit=10**6))
    return sorted(each.event.body["number"] for each in found if each.event.kind == "state")


async def told(keeper: StoreWriter) -> list[HubEvent]:
    found = await keeper.read(lambda reading: reading.events_of_kinds(("store-damaged",), 0, 1 << 62))
    return [each.event for each in found]


@pytest.mark.parametrize("damage", AT_REST.values(), ids=AT_REST.keys())
def test_a_hub_starts_although_its_store_was_damaged_at_rest(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "hub.db"
    epoch = fill(path)
    damage(path)

    async def go() -> None:
        keeper = StoreWriter(path, "mainpc", 0.0)
        try:
            await keeper.append([said(1)])
            assert await numbers(keeper) == [1]
            assert keeper.origin.epoch != epoch
            (event,) = await told(keeper)
            (aside,) = find_damaged_stores(path)
            assert event.body["file"] == aside.name
            assert aside.name in describe_damage(path)
        finally:
            await keeper.close()

    asyncio.run(go())


@pytest.mark.parametrize("damage", IN_USE.values(), ids=IN_USE.keys())
def test_damage_in_use_is_noticed_without_a_question_and_the_hub_goes_on(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "hub.db"
    fill(path)

    async def go() -> None:
        keeper = StoreWriter(path, "mainpc", 0.0)
        try:
            await keeper.append([said(10**6)])
            epoch = keeper.origin.epoch
            damage(path)

            async def is_new() -> bool:
                return bool(await told(keeper))

            if damage is not DAMAGES["2,000 flips"]:  # which is met when it is read or written over
                await until(is_new)
            await keeper.read(lambda reading: reading.series("A", "f", 0, 1 << 60))
            await keeper.read(lambda reading: reading.events(limit=10**6))
            await keeper.append([said(5)])
            assert keeper.origin.epoch != epoch
            assert await numbers(keeper) == [5]
            assert len(await told(keeper)) == 1
        finally:
            await keeper.close()
        with closing(StoreReader(path)) as reading:  # and the next life reads what this one kept
            assert [each.event.body.get("number") for each in reading.events(limit=1)] == [5]

    asyncio.run(go())


@pytest.mark.parametrize("seed", SEEDS)
def test_fifty_flipped_bits_are_read_past_or_end_in_a_new_store(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "hub.db"
    fill(path)
    flip(path, 50, seed)

    async def go() -> None:
        keeper = StoreWriter(path, "mainpc", 0.0)
        try:
            for look in (
                StoreReader.schemas,
                StoreReader.last_states,
                StoreReader.events,
                lambda each: each.records_after([], 1 << 30),
            ):
                await keeper.read(look)
            await keeper.append([said(10**6)], [figures(10**6)])
            assert 10**6 in await numbers(keeper)
            assert len(find_damaged_stores(path)) == len(await told(keeper))
        finally:
            await keeper.close()

    asyncio.run(go())


def test_a_log_of_noise_is_told_and_takes_nothing_of_the_file_with_it(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    epoch = fill(path)
    shutil.copy(path, tmp_path / "copy.db")
    log_of(path).write_bytes(random.Random(2).randbytes(1 << 20))

    async def go() -> None:
        keeper = StoreWriter(path, "mainpc", 0.0)
        try:
            await keeper.append([said(700)])
            assert await numbers(keeper) == list(range(701))
            (event,) = await told(keeper)
            assert "its log was not written by a hub" in event.body["text"]
            assert len(find_damaged_stores(path)) == 1
        finally:
            await keeper.close()

    asyncio.run(go())
    assert epoch


def test_other_hubs_give_back_what_the_damaged_store_had(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    epoch = fill(path)

    async def go() -> None:
        keeper, other = StoreWriter(path, "mainpc", 0.0), StoreWriter(tmp_path / "other.db", "pc2", 0.0)
        try:
            await other.store_batches(await keeper.records_after([], 1 << 30, 0.0))
            await keeper.append([said(10**6)])  # which nobody else has
            await keeper.recreate(msgspec.DecodeError("damaged"))
            await keeper.append([said(7000)])
            await keeper.store_batches(await other.records_after(await keeper.positions(), 1 << 30, 0.0))
            assert await numbers(keeper) == [*range(700), 7000]
            await other.store_batches(await keeper.records_after(await other.positions(), 1 << 30, 0.0))
            assert await numbers(other) == [*range(700), 7000]
            found = {each.origin.epoch: each.last_event for each in await other.positions()}
            assert found == {epoch: 700, keeper.origin.epoch: 2, other.origin.epoch: 0}
        finally:
            await keeper.close()
            await other.close()

    asyncio.run(go())


def test_a_record_that_another_hub_damaged_does_not_cost_this_one_its_store(tmp_path: Path) -> None:
    path = tmp_path / "pc2.db"
    fill(path)

    async def go() -> None:
        keeper = StoreWriter(path, "pc2", 0.0)
        other = StoreWriter(tmp_path / "other.db", "mainpc", 0.0)
        try:
            await other.append([said(1)])
            (batch,) = await other.records_after([], 1 << 30, 0.0)
            bad = msgspec.structs.replace(batch, rows=(b"\xc1" + batch.rows[0],))
            with pytest.raises(ValueError, match="a record that it sent cannot be decoded"):
                await keeper.store_batches([bad])
            assert await keeper.store_batches([batch]) == 1
            assert find_damaged_stores(path) == []
        finally:
            await keeper.close()
            await other.close()

    asyncio.run(go())


def test_a_damaged_record_is_not_handed_to_other_hubs(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    fill(path, 5)
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE event SET row = x'C1' WHERE number = 3")

    async def go() -> None:
        keeper = StoreWriter(path, "mainpc", 0.0)
        try:
            batches = await keeper.records_after([], 1 << 30, 0.0)
            assert b"\xc1" not in [row for batch in batches for row in batch.rows]
            assert len(find_damaged_stores(path)) == 1
        finally:
            await keeper.close()

    asyncio.run(go())


def test_the_first_of_many_that_were_set_aside_stays(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    fill(path)
    first = path.stat().st_size

    async def go() -> None:
        keeper = StoreWriter(path, "mainpc", 0.0)
        try:
            for _ in range(8):
                await keeper.recreate(msgspec.DecodeError("damaged"))
                await keeper.append([said(1)])
        finally:
            await keeper.close()

    asyncio.run(go())
    kept = find_damaged_stores(path)
    assert len(kept) == 5
    assert kept[0].stat().st_size >= first
