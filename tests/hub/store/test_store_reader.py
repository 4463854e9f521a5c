"""Store reader: queries use an index, and a long query does not delay another hub."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import HubEvent, RecordBatch, RecordOrigin, RecordStream
from argosy.hub.store.store_reader import StoredEvent, StoreReader
from argosy.hub.store.store_writer import DEFAULT_LIMITS, StoreWriter

KINDS = ("state", "alert", "log", "recovery")
EVENTS = st.lists(
    st.builds(
        HubEvent,
        st.integers(0, 5),
        st.sampled_from(KINDS),
        st.sampled_from("AB"),
        st.just({"state": "ready"}),
    ),
    max_size=30,
)
NO_EXPIRY = DEFAULT_LIMITS._replace(max_age_s=1e12)  # what these tests write is of 1970


def steps_of(reading: StoreReader, look: Callable[[], object]) -> int:
    """Return how many hundreds of steps SQLite's machine takes for a look."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    reading._database.set_progress_handler(count, 100)
    look()
    reading._database.set_progress_handler(None, 0)
    return steps


@settings(max_examples=25, deadline=None)
@given(EVENTS, st.sets(st.sampled_from(KINDS)), st.sampled_from([None, "A", "B"]), st.integers(1, 30))
def test_events_of_kinds_returns_matching_events_of_full_list(
    events: list[HubEvent], kinds: set[str], agent: str | None, most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = RecordStore(Path(folder) / "hub.db", "pc1")
        store._database.execute("PRAGMA synchronous = OFF")
        store.append(events)
        reading = StoreReader(Path(folder) / "hub.db")

        def is_meant(each: StoredEvent) -> bool:
            return each.event.kind in kinds and agent in (None, each.event.subject)

        among_all = [each for each in reading.events(1, 4) if is_meant(each)]
        assert reading.events_of_kinds(kinds, 1, 4, most, agent) == among_all[:most]
        assert reading.events_of_kinds(kinds, 1, 4, None, agent) == among_all
        reading.close()
        store.close()


def test_store_reader_answers_queries_by_index_also_in_upgraded_store(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "hub.db", "pc1")
    store._database.execute("DROP INDEX event_kind")
    store._database.execute("DROP INDEX event_state")
    store.append([HubEvent(1, "state", agent, {"state": "ready"}) for agent in "AB"])
    store.append([HubEvent(number, "log", "A", {"text": "x"}) for number in range(2, 20_000)])
    store.close()
    RecordStore(tmp_path / "hub.db", "pc1").close()
    reading = StoreReader(tmp_path / "hub.db")
    looks: list[Callable[[], object]] = [
        lambda: reading.events_of_kinds(("apply", "state"), 0, 1 << 62, 60_000),
        lambda: reading.events_of_kinds(("recovery",), 0, 1 << 62),
        lambda: reading.events_of_kinds(("state", "alert"), 0, 1 << 62, 10, "A"),
        lambda: reading.events_of_kinds(("log",), 0, 1 << 62, 10, "A"),
        lambda: reading.states_at("AB", 1 << 62),
        reading.last_states,
        reading.time_range_ms,
    ]
    steps = [steps_of(reading, look) for look in looks]
    assert max(steps) < 20, steps  # through all of them it would be thousands
    assert [each.event.subject for each in reading.states_at("AB", 1 << 62)] == ["A", "B"]
    assert reading.time_range_ms() == (1, 19_999)
    reading.close()


def test_store_writer_serves_other_hub_during_long_read(tmp_path: Path) -> None:
    async def go() -> None:
        writer = StoreWriter(tmp_path / "hub.db", "pc1", 0.0, NO_EXPIRY)
        await writer.append([HubEvent(1, "state", "A", {})])
        is_looking, may_end = threading.Event(), threading.Event()

        def look(_: StoreReader) -> bool:
            is_looking.set()
            return may_end.wait(60)

        looking = asyncio.ensure_future(writer.read(look))
        try:
            async with asyncio.timeout(30):
                await asyncio.to_thread(is_looking.wait)
                (batch,) = await writer.records_after([], 1 << 20, 0.5)
                (position,) = await writer.positions()
            assert (batch.last, position.last_event, looking.done()) == (1, 1, False)
        finally:
            may_end.set()
        assert await looking
        await writer.close()

    asyncio.run(go())


def test_store_writer_commits_and_publishes_gap_event_with_lost_batch(tmp_path: Path) -> None:
    async def go() -> None:
        shown: list[HubEvent] = []
        writer = StoreWriter(  # nothing else is written in this time
            tmp_path / "hub.db", "pc1", 60.0, on_appended=lambda events, _: shown.extend(events)
        )
        lost = RecordBatch(RecordOrigin("pc2", "ab", 5), RecordStream.EVENTS, 1, 7, is_lost=True)
        assert await writer.store_batches([lost, lost]) == 1
        reading = StoreReader(tmp_path / "hub.db")
        found = [each.event for each in reading.events_of_kinds(["gap"], 0, 1 << 62)]
        reading.close()
        assert found == shown
        assert [each.body["last"] for each in found] == [7]
        await writer.close()

    asyncio.run(go())
