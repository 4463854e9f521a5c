"""SQLite with one row per sample, clustered by series: a hub without blocks."""

from __future__ import annotations

import sqlite3
from array import array
from pathlib import Path

from store_cases.sample_stream import METRICS


class ByRows:
    """One file, one commit per second, each synced to the disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rows.db"
        self._base = sqlite3.connect(self._path, isolation_level=None)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.execute(
            "CREATE TABLE sample (series INTEGER, ms INTEGER, value REAL, PRIMARY KEY (series, ms)) "
            "WITHOUT ROWID"
        )
        self._series: dict[tuple[str, str], int] = {}

    def write(self, time_ms: int, values: list[tuple[str, array[float]]]) -> None:
        rows = [
            (self._series.setdefault((agent, figure), len(self._series)), time_ms, value)
            for agent, numbers in values
            for figure, value in zip(METRICS, numbers, strict=True)
        ]
        self._base.execute("BEGIN")
        self._base.executemany("INSERT INTO sample VALUES (?, ?, ?)", rows)
        self._base.execute("COMMIT")

    def flush(self) -> None:
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def series(self, agent: str, figure: str, from_ms: int, to_ms: int) -> int:
        rows = self._base.execute(
            "SELECT ms, value FROM sample WHERE series = ? AND ms BETWEEN ? AND ?",
            (self._series[agent, figure], from_ms, to_ms),
        ).fetchall()
        return len(array("d", [value for _, value in rows]))

    def size_bytes(self) -> int:
        return self._path.stat().st_size

    def close(self) -> None:
        self._base.close()
