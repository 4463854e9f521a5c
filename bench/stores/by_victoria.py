"""VictoriaMetrics (Debian: victoria-metrics), a server on this machine, over one HTTP connection."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
import urllib.parse
from array import array
from pathlib import Path

from stores.fleet_hour import FIGURES

PROGRAM = "victoria-metrics"
_READY_S = 15.0


def is_there() -> bool:
    """Return whether the server is installed."""
    return shutil.which(PROGRAM) is not None


class ByVictoria:
    """One server with a folder of its own; a request of text a second."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._folder = folder / "victoria"
        self._server = subprocess.Popen(
            [
                PROGRAM,
                f"-storageDataPath={self._folder}",
                f"-httpListenAddr=127.0.0.1:{port}",
                "-retentionPeriod=100y",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        until = time.monotonic() + _READY_S
        while True:
            try:
                self._get("/health")
                return
            except OSError:
                self._link.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _get(self, path: str) -> bytes:
        self._link.request("GET", path)
        return self._link.getresponse().read()

    def write(self, time_ms: int, values: list[tuple[str, array[float]]]) -> None:
        lines = [
            f'{figure}{{agent="{agent}"}} {value!r} {time_ms}'
            for agent, numbers in values
            for figure, value in zip(FIGURES, numbers, strict=True)
        ]
        self._link.request("POST", "/api/v1/import/prometheus", "\n".join(lines))
        answer = self._link.getresponse()
        answer.read()
        if answer.status >= 300:
            raise OSError(f"{PROGRAM} answered {answer.status}")

    def settle(self) -> None:
        self._get("/internal/force_flush")
        self._get("/internal/force_merge")

    def series(self, agent: str, figure: str, from_ms: int, to_ms: int) -> int:
        query = urllib.parse.urlencode(
            {"match[]": f'{figure}{{agent="{agent}"}}', "start": from_ms / 1000, "end": to_ms / 1000}
        )
        text = self._get(f"/api/v1/export?{query}")
        return len(array("d", json.loads(text)["values"])) if text else 0

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self._folder / "data").rglob("*") if path.is_file())

    def close(self) -> None:
        self._link.close()
        self._server.terminate()
        self._server.wait(20)
