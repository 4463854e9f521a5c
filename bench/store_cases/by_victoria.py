"""VictoriaMetrics (Debian: victoria-metrics), a local server, over one HTTP connection."""

from __future__ import annotations

import json
import shutil
import urllib.parse
from array import array
from pathlib import Path

from store_cases.database_server import Server
from store_cases.sample_stream import METRICS

PROGRAM = "victoria-metrics"


def is_there() -> bool:
    """Return whether the server is installed."""
    return shutil.which(PROGRAM) is not None


class ByVictoria:
    """One server with a temporary folder; one text request per second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "victoria"
        self._server = Server(
            lambda port: [
                PROGRAM,
                f"-storageDataPath={self._folder}",
                f"-httpListenAddr=127.0.0.1:{port}",
                "-retentionPeriod=100y",
            ],
            "/health",
        )

    def write(self, time_ms: int, values: list[tuple[str, array[float]]]) -> None:
        lines = [
            f'{figure}{{agent="{agent}"}} {value!r} {time_ms}'
            for agent, numbers in values
            for figure, value in zip(METRICS, numbers, strict=True)
        ]
        self._server.request("POST", "/api/v1/import/prometheus", "\n".join(lines))

    def flush(self) -> None:
        self._server.request("GET", "/internal/force_flush")
        self._server.request("GET", "/internal/force_merge")

    def series(self, agent: str, figure: str, from_ms: int, to_ms: int) -> int:
        query = urllib.parse.urlencode(
            {"match[]": f'{figure}{{agent="{agent}"}}', "start": from_ms / 1000, "end": to_ms / 1000}
        )
        text = self._server.request("GET", f"/api/v1/export?{query}")
        return len(array("d", json.loads(text)["values"])) if text else 0

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self._folder / "data").rglob("*") if path.is_file())

    def close(self) -> None:
        self._server.close()
