"""Record store: append, compaction, retention, replication, and recovery after kills and a full disk."""

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import (
    SEGMENT_ROWS,
    HubEvent,
    MetricSample,
    RecordBatch,
    RecordOrigin,
    RecordStream,
    StreamPosition,
)
from argosy.hub.store.store_file import StoreDamagedError, StoreError
from argosy.hub.store.store_reader import StoreReader

ENCODE = msgspec.msgpack.encode
NO_EXPIRY = math.inf  # what these tests write is of 1970
NAMES = ("handled", "lag")


def event(number: int) -> HubEvent:
    return HubEvent(number, "said", "A", {"number": number})


def figures(number: int, agent: str = "A", names: tuple[str, ...] = NAMES) -> MetricSample:
    values = array("d", [float(number + place) for place in range(len(names))])
    return MetricSample(agent, names, 1000 * number, values.tobytes())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    made = RecordStore(tmp_path / "hub.db", "mainpc", NO_EXPIRY)
    made._database.execute("PRAGMA synchronous = OFF")  # no power is lost here
    yield made
    made.close()


@pytest.fixture
def reading(store: RecordStore, tmp_path: Path) -> Iterator[StoreReader]:
    made = StoreReader(tmp_path / "hub.db")
    yield made
    made.close()


def close_database_as_after_kill(store: RecordStore) -> None:
    """Let go of the file without the word that `close` leaves in it."""
    store._database.close()


def numbers(reading: StoreReader) -> list[int]:
    return [happened.event.body["number"] for happened in reading.events_of_kinds(["said"], 0, 1 << 62)][::-1]


def test_store_reads_back_events_and_metric_samples(store: RecordStore, reading: StoreReader) -> None:
    at = store.append([event(1), event(2)], [figures(1), figures(1, "B", ("lag",))])
    assert at == StreamPosition(store.origin, 2, 1)
    store.append([], [figures(2)])
    assert numbers(reading) == [1, 2]
    assert reading.series("A", "lag", 0, 10**9) == (array("d", [1000, 2000]), array("d", [2, 3]))
    assert reading.series("A", "lag", 1500, 10**9) == (array("d", [2000]), array("d", [3]))
    assert reading.series("A", "unknown", 0, 10**9) == (array("d"), array("d"))
    assert reading.metric_names() == {("mainpc", "A"): {"handled", "lag"}, ("mainpc", "B"): {"lag"}}


def test_compaction_keeps_series_values_of_segment(store: RecordStore, reading: StoreReader) -> None:
    for number in range(1, SEGMENT_ROWS + 11):
        more = [figures(number, "Late", ("lag",))] if number % 3 == 0 else []
        store.append([], [figures(number), *more])
    before = [reading.series(agent, "lag", 5000, 299_000) for agent in ("A", "Late")]
    assert len(before[0][0]) == 295
    assert store.compact()
    assert not store.compact()
    assert [reading.series(agent, "lag", 5000, 299_000) for agent in ("A", "Late")] == before


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of ten ticks, joined by threes."""
    monkeypatch.setattr("argosy.hub.store.records.SEGMENT_ROWS", 10)
    monkeypatch.setattr("argosy.hub.store.compaction.SEGMENTS_PER_CHUNK", 3)


@pytest.mark.usefixtures("short")
def test_joined_segments_keep_values_and_replace_rows_of_replica(
    store: RecordStore, reading: StoreReader, tmp_path: Path
) -> None:
    other, copy = RecordStore(tmp_path / "other.db", "pc2", NO_EXPIRY), StoreReader(tmp_path / "other.db")
    for number in range(1, 76):
        more = [figures(number, "Late", ("lag",))] if number > 12 else []
        store.append([], [figures(number), *more])
        if number == 14:
            other.store_batches(reading.records_after([]))  # ten of them sealed there, four not
            assert other.compact()
    before = [reading.series(agent, "lag", 0, 1 << 60) for agent in ("A", "Late")]
    while store.compact():
        pass
    runs = store._database.execute("SELECT segment, segments FROM run").fetchall()
    assert runs == [(0, 3), (3, 3), (6, 1)]
    assert [reading.series(agent, "lag", 0, 1 << 60) for agent in ("A", "Late")] == before
    batches = reading.records_after(copy.positions())
    assert [(batch.first, batch.last) for batch in batches] == [(1, 30), (31, 60), (61, 70), (71, 75)]
    assert other.store_batches(batches) == batches
    assert [copy.series(agent, "lag", 0, 1 << 60) for agent in ("A", "Late")] == before
    assert other.store_batches(batches) == []
    copy.close()
    other.close()


@pytest.mark.usefixtures("short")
def test_compaction_downsamples_old_metrics_to_one_minute_with_extremes(tmp_path: Path) -> None:
    store, reading = (
        RecordStore(tmp_path / "hub.db", "mainpc", full_detail_s=3600.0),
        StoreReader(tmp_path / "hub.db"),
    )
    began_ms = int(time.time() // 60) * 60_000 - 7_200_000
    for number in range(60):  # ten seconds each
        lag = 5.0 if number % 6 == 2 else 1.0
        values = array("d", [float(number), lag]).tobytes()
        store.append([], [MetricSample("A", NAMES, began_ms + 10_000 * number, values)])
    size = len(reading.series("A", "lag", 0, 1 << 60)[1])
    while store.compact():
        pass
    assert size == 60
    at, lags = reading.series("A", "lag", 0, 1 << 60)
    assert list(at) == [began_ms + 50_000 + 60_000 * minute for minute in range(10)]
    assert list(lags) == pytest.approx([10 / 6] * 10)
    assert list(reading.series("A", "lag", 0, 1 << 60, aggregate="greatest")[1]) == [5.0] * 10
    assert list(reading.series("A", "lag", 0, 1 << 60, aggregate="least")[1]) == [1.0] * 10
    assert list(reading.series("A", "handled", 0, 1 << 60)[1]) == [5.0 + 6 * minute for minute in range(10)]
    half = reading.series("A", "lag", began_ms + 300_000, 1 << 60)[0]
    assert list(half) == list(at)[5:]
    reading.close()
    store.close()


@pytest.mark.usefixtures("short")
def test_late_hub_reads_series_whose_name_rows_were_dropped(
    store: RecordStore, reading: StoreReader, tmp_path: Path
) -> None:
    store.append([], [figures(1, "Quiet", ("lag",))])
    for number in range(2, 25):
        store.append([], [figures(number)])
    store.append([], [figures(25, "Quiet", ("lag",))])
    while store.compact():
        pass
    assert store.drop_before(20_001)
    other, copy = RecordStore(tmp_path / "other.db", "pc2", NO_EXPIRY), StoreReader(tmp_path / "other.db")
    other.store_batches(reading.records_after([]))
    assert list(copy.series("Quiet", "lag", 0, 1 << 60)[1]) == [25.0]
    copy.close()
    other.close()


def test_retention_drops_uncompacted_rows_of_killed_hub(tmp_path: Path) -> None:
    first = RecordStore(tmp_path / "hub.db", "mainpc")
    first.append([], [figures(1)])
    close_database_as_after_kill(first)
    second = RecordStore(tmp_path / "hub.db", "mainpc")
    second.append([], [figures(2)])
    later_ms = int(time.time() * 1000) + 1000
    assert second.drop_before(later_ms) == 1
    assert second.drop_before(later_ms) == 0
    reading = StoreReader(tmp_path / "hub.db")
    assert list(reading.series("A", "handled", 0, 1 << 60)[1]) == [2.0]
    reading.close()
    second.close()


def test_store_keeps_newest_position_of_each_source(store: RecordStore, reading: StoreReader) -> None:
    store.append([event(1)], sources={"A": ("life", 3)})
    store.append([event(2)], sources={"A": ("life", 4), "B": ("other", 1)})
    assert reading.source_positions() == {"A": ("life", 4), "B": ("other", 1)}


def test_store_keeps_its_epoch_after_close_and_starts_new_epoch_after_kill(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hub.db"
    first = RecordStore(path, "mainpc")
    first.append([event(1)], [figures(1)])
    first.close()
    second = RecordStore(path, "mainpc")
    assert second.origin == first.origin
    assert second.append([event(2)], [figures(2)]) == StreamPosition(first.origin, 2, 2)
    close_database_as_after_kill(second)
    third = RecordStore(path, "mainpc")
    assert third.origin.epoch != first.origin.epoch
    assert third.append([event(3)], [figures(3)]) == StreamPosition(third.origin, 1, 1)
    third.close()
    reading = StoreReader(path)
    assert numbers(reading) == [1, 2, 3]
    assert list(reading.series("A", "handled", 0, 10**9)[1]) == [1, 2, 3]
    reading.close()


def test_store_refuses_other_version_and_file_that_is_not_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    RecordStore(path, "mainpc").close()
    with sqlite3.connect(path) as base:
        base.execute("UPDATE fact SET value = '99' WHERE name = 'version'")
    base.close()
    with pytest.raises(StoreError, match="has version 99, this argosy reads version 2"):
        RecordStore(path, "mainpc")
    (tmp_path / "no.db").write_bytes(b"no data base at all" * 100)
    with pytest.raises(StoreDamagedError, match="does not start with the header of an SQLite file"):
        RecordStore(tmp_path / "no.db", "mainpc")


def test_replica_records_lost_range_once_as_gap_event(store: RecordStore, tmp_path: Path) -> None:
    other = RecordStore(tmp_path / "other.db", "pc2", NO_EXPIRY)
    lost = RecordBatch(store.origin, RecordStream.EVENTS, 1, 7, is_lost=True)
    assert other.store_batches([lost]) == [lost]
    assert other.store_batches([lost]) == []
    assert other.store_batches([RecordBatch(store.origin, RecordStream.EVENTS, 8, 8, (ENCODE(event(8)),))])
    copy = StoreReader(tmp_path / "other.db")
    assert [
        (batch.first, batch.last, batch.is_lost)
        for batch in copy.records_after([])
        if batch.origin == store.origin and (batch.rows or batch.is_lost)
    ] == [
        (1, 7, True),
        (8, 8, False),
    ]
    (gap,) = copy.events_of_kinds(["gap"], 0, 1 << 62)  # of that once, in the commit that took it
    assert (gap.origin, gap.number) == (other.origin, 1)
    assert gap.event.body == {
        "machine": "mainpc",
        "epoch": store.origin.epoch,
        "stream": "events",
        "first": 1,
        "last": 7,
    }
    assert other.append([event(9)]).last_event == 2
    copy.close()
    other.close()


def test_store_ignores_batch_that_is_not_next_in_sequence(store: RecordStore) -> None:
    foreign = RecordOrigin("pc2", "ab", 5)
    row = ENCODE(event(1))
    assert store.store_batches([RecordBatch(foreign, RecordStream.EVENTS, 2, 2, (row,))]) == []
    assert store.store_batches([RecordBatch(foreign, RecordStream.EVENTS, 1, 1, (row,))])
    assert store.store_batches([RecordBatch(foreign, RecordStream.EVENTS, 1, 1, (row,))]) == []
    with pytest.raises(ValueError, match="has 1 rows"):
        store.store_batches([RecordBatch(foreign, RecordStream.EVENTS, 2, 3, (row,))])
    assert (
        store.store_batches([RecordBatch(store.origin, RecordStream.EVENTS, 1, 1, (row,))]) == []
    )  # its own it knows best


def test_retention_drops_old_records_and_reports_them_lost_to_late_hub(
    store: RecordStore, reading: StoreReader, tmp_path: Path
) -> None:
    for number in range(1, 2 * SEGMENT_ROWS + 11):
        store.append([event(1000 * number)], [figures(number)])
    while store.compact():
        pass
    assert store.drop_before(1000 * SEGMENT_ROWS + 1) == 1 + SEGMENT_ROWS
    assert store.drop_before(1000 * SEGMENT_ROWS + 1) == 0
    assert list(reading.series("A", "handled", 0, 1 << 60)[1]) == list(range(301, 611))
    assert numbers(reading) == [1000 * number for number in range(301, 611)]
    late = RecordStore(tmp_path / "late.db", "pc2", NO_EXPIRY)
    copy = StoreReader(tmp_path / "late.db")
    batches = reading.records_after(copy.positions())
    assert [(b.stream, b.first, b.last) for b in batches if b.is_lost] == [
        (RecordStream.EVENTS, 1, 300),
        (RecordStream.SAMPLES, 1, 300),
    ]
    assert late.store_batches(batches) == batches
    assert copy.series("A", "handled", 0, 1 << 60) == reading.series("A", "handled", 0, 1 << 60)
    assert numbers(copy) == numbers(reading)
    copy.close()
    late.close()


def test_store_reuses_space_of_dropped_records(store: RecordStore) -> None:
    def fill(first: int) -> None:
        for number in range(first, first + 200):
            store.append([HubEvent(number, "said", "A", {"text": "x" * 500}) for _ in range(10)])

    fill(0)
    full = store.used_bytes()
    for first in range(200, 1000, 200):
        while (oldest := store.oldest_ms()) and store.used_bytes() > full / 2:
            store.drop_before(oldest)
        fill(first)
    assert store.used_bytes() < 1.6 * full


WRITER = """
import sys
from pathlib import Path
from array import array
from argosy.hub.store.records import HubEvent, MetricSample
from argosy.hub.store.record_store import RecordStore
store = RecordStore(Path(sys.argv[1]), "mainpc", float("inf"))
for number in range(1, 10**6):
    values = array("d", [number, number]).tobytes()
    event = HubEvent(number, "said", "A", {"number": number})
    at = store.append([event], [MetricSample("A", ("x", "y"), number, values)])
    print(store.origin.epoch, at.last_event, at.last_row, flush=True)
    store.compact()
"""


def test_store_keeps_acknowledged_records_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    acknowledged: list[str] = []
    for life in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(330 + 7 * life):
                acknowledged.append(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            acknowledged += writer.stdout.readlines()
    reading = StoreReader(path)
    kept = {(at.origin.epoch, at.last_event, at.last_row) for at in reading.positions()}
    for epoch in dict.fromkeys(line.split()[0] for line in acknowledged if line.count(" ") == 2):
        most = max(int(line.split()[1]) for line in acknowledged if line.startswith(epoch))
        found = next(events for name, events, _ in kept if name == epoch)
        assert found in (most, most + 1)  # the last may be written and not told
        own = [h.number for h in reading.events(limit=10**6) if h.origin.epoch == epoch]
        assert sorted(own) == list(range(1, found + 1))
    _at, values = reading.series("A", "x", 0, 10**9)
    assert len(values) == sum(ticks for _, _, ticks in kept)
    reading.close()


def test_store_keeps_records_on_full_disk_and_resumes_when_space_is_free(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    store = RecordStore(path, "mainpc")
    store._database.execute("PRAGMA synchronous = OFF")  # no power is lost here
    store.append([event(1)], [figures(1)])
    store._database.execute("PRAGMA max_page_count = 40")  # what SQLite answers is what it answers for ENOSPC

    def fill() -> None:
        for number in range(2, 3000):
            store.append([event(number)], [figures(number, f"New{number}")])

    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill()
    reading = StoreReader(path)
    kept = numbers(reading)
    assert kept == list(range(1, len(kept) + 1))
    store._database.execute("PRAGMA max_page_count = 100000")
    store.append([event(len(kept) + 1)], [figures(9000, f"New{len(kept) + 1}")])
    assert numbers(reading) == list(range(1, len(kept) + 2))
    assert list(reading.series(f"New{len(kept)}", "lag", 0, 10**9)[1]) == [len(kept) + 1]
    reading.close()
    store.close()


class RecordStoreMachine(RuleBasedStateMachine):
    """Three stores that write, seal, die, and hand each other what they have, in any order."""

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("argosy.hub.store.records.SEGMENT_ROWS", 10)
        self.patch.setattr("argosy.hub.store.compaction.SEGMENTS_PER_CHUNK", 3)
        self.patch.setattr("argosy.hub.store.head_blocks.MAX_CACHED_BYTES", 4000)  # a tail or two
        self.folder = tempfile.TemporaryDirectory()
        self.paths = [Path(self.folder.name, f"{number}.db") for number in range(3)]
        self.stores = [self._opened(number) for number in range(3)]
        self.readings = [StoreReader(path) for path in self.paths]
        self.written: dict[tuple[str, int], HubEvent] = {}
        self.ticks: dict[str, list[float]] = {}
        self.count = 0

    @rule(index=st.integers(0, 2), events=st.integers(0, 3), ticks=st.integers(0, 35))
    def write(self, index: int, events: int, ticks: int) -> None:
        store = self.stores[index]
        for _ in range(events):
            self.count += 1
            said = event(self.count)
            at = store.append([said])
            self.written[store.origin.epoch, at.last_event] = said
        for _ in range(ticks):
            self.count += 1
            store.append([], [figures(self.count, f"A{index}")])
            self.ticks.setdefault(f"A{index}", []).append(float(self.count))

    @rule(index=st.integers(0, 2))
    def seal(self, index: int) -> None:
        while self.stores[index].compact():
            pass

    @rule(index=st.integers(0, 2))
    def die(self, index: int) -> None:
        self.stores[index]._database.close()
        self.stores[index] = self._opened(index)

    def _opened(self, index: int) -> RecordStore:
        store = RecordStore(self.paths[index], f"m{index}", NO_EXPIRY)
        store._database.execute("PRAGMA synchronous = OFF")  # no power is lost here
        return store

    @rule(source=st.integers(0, 2), receiver=st.integers(0, 2), most=st.sampled_from([1, 5000, 1 << 20]))
    def pull(self, source: int, receiver: int, most: int) -> None:
        self._pull(source, receiver, most)

    def _pull(self, source: int, receiver: int, most: int = 1 << 20) -> int:
        theirs, ours = StoreReader(self.paths[source]), StoreReader(self.paths[receiver])
        taken = len(self.stores[receiver].store_batches(theirs.records_after(ours.positions(), most)))
        theirs.close()
        ours.close()
        return taken

    @invariant()
    def check_records_are_unique_and_were_written(self) -> None:
        for path in getattr(self, "paths", ()):
            reading = StoreReader(path)
            seen = [(h.origin.epoch, h.number, h.event) for h in reading.events(limit=10**6)]
            assert len({(epoch, number) for epoch, number, _ in seen}) == len(seen)
            assert all(self.written[epoch, number] == said for epoch, number, said in seen)
            reading.close()

    @rule(
        index=st.integers(0, 2),
        other_index=st.integers(0, 2),
        first=st.integers(0, 80),
        last=st.integers(0, 300),
    )
    def check_cached_reader_agrees_with_new_reader(
        self, index: int, other_index: int, first: int, last: int
    ) -> None:
        fresh = StoreReader(self.paths[index])
        asked = f"A{other_index}", "lag", 1000 * first, 1000 * last
        assert self.readings[index].series(*asked) == fresh.series(*asked)
        fresh.close()

    def teardown(self) -> None:
        if not hasattr(self, "paths"):
            return
        while sum(self._pull(one, two) for one in range(3) for two in range(3) if one != two):
            pass
        for path in self.paths:
            reading = StoreReader(path)
            assert len(reading.events(limit=10**6)) == len(self.written)
            for agent, values in self.ticks.items():
                assert list(reading.series(agent, "handled", 0, 1 << 60)[1]) == values
            reading.close()
        for opened in (*self.readings, *self.stores):
            opened.close()
        self.patch.undo()
        self.folder.cleanup()


TestRecordStoreMachine = RecordStoreMachine.TestCase
TestRecordStoreMachine.settings = settings(
    max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
