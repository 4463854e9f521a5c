"""The hub's own store, as the hub uses it: one tick per second, segments sealed on the way."""

from __future__ import annotations

import math
from array import array
from pathlib import Path

from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import MetricSample
from argosy.hub.store.store_reader import StoreReader
from store_cases.sample_stream import METRICS


class ByHub:
    """One file, one commit per second, each synced to the disk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hub.db"
        self.store = RecordStore(self.path, "here", full_detail_s=math.inf)
        self._reading = StoreReader(self.path)
        self._is_open = True

    def write(self, time_ms: int, values: list[tuple[str, array[float]]]) -> None:
        self.store.append(
            (), [MetricSample(agent, METRICS, time_ms, each.tobytes()) for agent, each in values]
        )
        self.store.compact()

    def flush(self) -> None:
        while self.store.compact():
            pass
        self.store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def series(self, agent: str, figure: str, from_ms: int, to_ms: int) -> int:
        return len(self._reading.series(agent, figure, from_ms, to_ms)[1])

    def size_bytes(self) -> int:
        return self.store.used_bytes()

    def close(self) -> None:
        """Close the file, once."""
        if self._is_open:
            self._is_open = False
            self._reading.close()
            self.store.close()
