"""Damaged store: the hub sets it aside, records the damage, and continues in a new store."""

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


def replace_with_dir(path: Path) -> None:
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
    "a folder": replace_with_dir,
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


async def numbers(writer: StoreWriter) -> list[int]:
    found = await writer.read(lambda reading: reading.events(limit=10**6))
    return sorted(each.event.body["number"] for each in found if each.event.kind == "state")


async def damage_events(writer: StoreWriter) -> list[HubEvent]:
    found = await writer.read(lambda reading: reading.events_of_kinds(("store-damaged",), 0, 1 << 62))
    return [each.event for each in found]


@pytest.mark.parametrize("damage", AT_REST.values(), ids=AT_REST.keys())
def test_store_writer_starts_when_store_was_damaged_at_rest(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "hub.db"
    epoch = fill(path)
    damage(path)

    async def go() -> None:
        writer = StoreWriter(path, "mainpc", 0.0)
        try:
            await writer.append([said(1)])
            assert await numbers(writer) == [1]
            assert writer.origin.epoch != epoch
            (event,) = await damage_events(writer)
            (aside,) = find_damaged_stores(path)
            assert event.body["file"] == aside.name
            assert aside.name in describe_damage(path)
        finally:
            await writer.close()

    asyncio.run(go())


@pytest.mark.parametrize("damage", IN_USE.values(), ids=IN_USE.keys())
def test_store_writer_detects_damage_in_use_and_continues_in_new_store(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "hub.db"
    fill(path)

    async def go() -> None:
        writer = StoreWriter(path, "mainpc", 0.0)
        try:
            await writer.append([said(10**6)])
            epoch = writer.origin.epoch
            damage(path)

            async def is_new() -> bool:
                return bool(await damage_events(writer))

            if damage is not DAMAGES["2,000 flips"]:  # which is met when it is read or written over
                await until(is_new)
            await writer.read(lambda reading: reading.series("A", "f", 0, 1 << 60))
            await writer.read(lambda reading: reading.events(limit=10**6))
            await writer.append([said(5)])
            assert writer.origin.epoch != epoch
            assert await numbers(writer) == [5]
            assert len(await damage_events(writer)) == 1
        finally:
            await writer.close()
        with closing(StoreReader(path)) as reading:  # and the next life reads what this one kept
            assert [each.event.body.get("number") for each in reading.events(limit=1)] == [5]

    asyncio.run(go())


@pytest.mark.parametrize("seed", SEEDS)
def test_store_with_fifty_flipped_bits_is_read_or_replaced(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "hub.db"
    fill(path)
    flip(path, 50, seed)

    async def go() -> None:
        writer = StoreWriter(path, "mainpc", 0.0)
        try:
            for look in (
                StoreReader.schemas,
                StoreReader.last_states,
                StoreReader.events,
                lambda each: each.records_after([], 1 << 30),
            ):
                await writer.read(look)
            await writer.append([said(10**6)], [figures(10**6)])
            assert 10**6 in await numbers(writer)
            assert len(find_damaged_stores(path)) == len(await damage_events(writer))
        finally:
            await writer.close()

    asyncio.run(go())


def test_store_reports_foreign_wal_and_keeps_its_records(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    epoch = fill(path)
    shutil.copy(path, tmp_path / "copy.db")
    log_of(path).write_bytes(random.Random(2).randbytes(1 << 20))

    async def go() -> None:
        writer = StoreWriter(path, "mainpc", 0.0)
        try:
            await writer.append([said(700)])
            assert await numbers(writer) == list(range(701))
            (event,) = await damage_events(writer)
            assert "its log was not written by a hub" in event.body["text"]
            assert len(find_damaged_stores(path)) == 1
        finally:
            await writer.close()

    asyncio.run(go())
    assert epoch


def test_recreated_store_restores_its_records_from_other_hub(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    epoch = fill(path)

    async def go() -> None:
        writer, other = StoreWriter(path, "mainpc", 0.0), StoreWriter(tmp_path / "other.db", "pc2", 0.0)
        try:
            await other.store_batches(await writer.records_after([], 1 << 30, 0.0))
            await writer.append([said(10**6)])  # which nobody else has
            await writer.recreate(msgspec.DecodeError("damaged"))
            await writer.append([said(7000)])
            await writer.store_batches(await other.records_after(await writer.positions(), 1 << 30, 0.0))
            assert await numbers(writer) == [*range(700), 7000]
            await other.store_batches(await writer.records_after(await other.positions(), 1 << 30, 0.0))
            assert await numbers(other) == [*range(700), 7000]
            found = {each.origin.epoch: each.last_event for each in await other.positions()}
            assert found == {epoch: 700, writer.origin.epoch: 2, other.origin.epoch: 0}
        finally:
            await writer.close()
            await other.close()

    asyncio.run(go())


def test_store_writer_rejects_undecodable_record_of_other_hub_and_keeps_store(tmp_path: Path) -> None:
    path = tmp_path / "pc2.db"
    fill(path)

    async def go() -> None:
        writer = StoreWriter(path, "pc2", 0.0)
        other = StoreWriter(tmp_path / "other.db", "mainpc", 0.0)
        try:
            await other.append([said(1)])
            (batch,) = await other.records_after([], 1 << 30, 0.0)
            bad = msgspec.structs.replace(batch, rows=(b"\xc1" + batch.rows[0],))
            with pytest.raises(ValueError, match="a record that it sent cannot be decoded"):
                await writer.store_batches([bad])
            assert await writer.store_batches([batch]) == 1
            assert find_damaged_stores(path) == []
        finally:
            await writer.close()
            await other.close()

    asyncio.run(go())


def test_store_writer_does_not_replicate_damaged_record(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    fill(path, 5)
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE event SET row = x'C1' WHERE number = 3")

    async def go() -> None:
        writer = StoreWriter(path, "mainpc", 0.0)
        try:
            batches = await writer.records_after([], 1 << 30, 0.0)
            assert b"\xc1" not in [row for batch in batches for row in batch.rows]
            assert len(find_damaged_stores(path)) == 1
        finally:
            await writer.close()

    asyncio.run(go())


def test_store_keeps_first_of_many_damaged_copies(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    fill(path)
    first = path.stat().st_size

    async def go() -> None:
        writer = StoreWriter(path, "mainpc", 0.0)
        try:
            for _ in range(8):
                await writer.recreate(msgspec.DecodeError("damaged"))
                await writer.append([said(1)])
        finally:
            await writer.close()

    asyncio.run(go())
    kept = find_damaged_stores(path)
    assert len(kept) == 5
    assert kept[0].stat().st_size >= first
