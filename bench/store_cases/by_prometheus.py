"""Prometheus (Debian: prometheus), a local server: filled by its bulk tool, queried over HTTP."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
from array import array
from pathlib import Path

from store_cases.database_server import Server
from store_cases.sample_stream import METRICS

PROGRAM = "prometheus"
TOOL = "promtool"


def is_there() -> bool:
    """Return whether the server and its tool are installed."""
    return all(map(shutil.which, (PROGRAM, TOOL)))


class ByPrometheus:
    """Writes samples as text, builds blocks of them at the end, then starts a server on the blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "prometheus"
        self._folder.mkdir()
        self._text = (self._folder / "samples.txt").open("w")
        self._server: Server | None = None

    def write(self, time_ms: int, values: list[tuple[str, array[float]]]) -> None:
        self._text.writelines(
            f'{figure}{{agent="{agent}"}} {value!r} {time_ms / 1000}\n'
            for agent, numbers in values
            for figure, value in zip(METRICS, numbers, strict=True)
        )

    def flush(self) -> None:
        self._text.write("# EOF\n")
        self._text.close()
        subprocess.run(
            [TOOL, "tsdb", "create-blocks-from", "openmetrics", self._text.name, str(self._folder / "data")],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        Path(self._text.name).unlink()

    def _started(self) -> Server:
        """Return the server, started at the first query."""
        if self._server is None:
            config = self._folder / "prometheus.yml"
            config.write_text("{}")
            self._server = Server(
                lambda port: [
                    PROGRAM,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--storage.tsdb.retention.time=100y",
                ],
                "/-/ready",
            )
        return self._server

    def series(self, agent: str, figure: str, from_ms: int, to_ms: int) -> int:
        asked = f'{figure}{{agent="{agent}"}}[{(to_ms - from_ms) // 1000 + 1}s]'
        query = urllib.parse.urlencode({"query": asked, "time": to_ms / 1000})
        found = json.loads(self._started().request("GET", f"/api/v1/query?{query}"))["data"]["result"]
        return len(array("d", [float(value) for _, value in found[0]["values"]])) if found else 0

    def size_bytes(self) -> int:
        """Return the size of its blocks."""
        return sum(path.stat().st_size for path in (self._folder / "data").rglob("chunks/*")) + sum(
            path.stat().st_size for path in (self._folder / "data").glob("*/index")
        )

    def close(self) -> None:
        if self._server:
            self._server.close()
        self._text.close()
