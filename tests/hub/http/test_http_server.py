"""HTTP server: slow connections, large metric pages and long logs do not block the hub."""

from __future__ import annotations

import asyncio
import http.client
import json
import resource
import socket
import subprocess
import sys
from array import array
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from argosy.engine.logs.log_file import MAX_LOG_BYTES, last_error_line
from argosy.hub.http import http_server
from argosy.hub.http.http_server import HubHttpServer
from argosy.hub.ingest.current_state import CurrentState
from argosy.hub.store.records import MetricSample

SLOW: Final = 300
DESCRIPTORS: Final = 256
HALF: Final = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
PATIENCE_S: Final = 30.0


def serving(tmp_path: Path, act: Callable[[int, Any], Awaitable[None]]) -> None:
    """Let `act` ask a server of a hub's page, whose port it is told."""

    async def go() -> None:
        hub: Any = SimpleNamespace(
            current_state=CurrentState(),
            host_names=frozenset,
            token_file=tmp_path / "token",
            is_metrics_guarded=False,
            options=SimpleNamespace(fleet=str(tmp_path / "fleet.yaml")),
            failure=lambda: "",
        )
        server = HubHttpServer(hub, "127.0.0.1", 21_000)
        running = asyncio.create_task(server.run())
        try:
            await act(int(server.url.rpartition(":")[2]), hub)
        finally:
            await server.stop()
            await running

    asyncio.run(go())


def healthz(port: int) -> str:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        link.request("GET", "/healthz")
        return link.getresponse().read().decode()
    finally:
        link.close()


@pytest.fixture
def few_descriptors() -> Any:
    """As many as a hub has under `ulimit -n 256`; those who ask it are in this process too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    most = http_server.compute_max_connections()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return most


def test_http_server_answers_despite_300_slow_clients_and_256_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_descriptors: int
) -> None:
    assert few_descriptors == DESCRIPTORS // 2
    monkeypatch.setattr("argosy.hub.http.http_server.compute_max_connections", lambda: few_descriptors)

    async def act(port: int, hub: Any) -> None:
        with ExitStack() as stack:
            for _ in range(SLOW):
                slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
                slow.sendall(HALF)
                await asyncio.sleep(0)
            assert await asyncio.to_thread(healthz, port) == "ok"
            async with asyncio.timeout(PATIENCE_S):
                while accepted(port) > few_descriptors:
                    await asyncio.sleep(0.01)

    serving(tmp_path, act)


def accepted(port: int) -> int:
    return sum(is_accepted_connection(each, port) for each in Path("/proc/self/fd").iterdir())


def is_accepted_connection(entry: Path, port: int) -> bool:
    """Return whether a descriptor is a connection that the server on a port has accepted."""
    try:
        link = socket.socket(fileno=int(entry.name))
    except OSError:
        return False
    try:
        return bool(link.getsockname()[1] == port and link.getpeername())
    except (OSError, IndexError):
        return False
    finally:
        link.detach()


def test_http_server_closes_connection_on_each_header_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server.LimitedConnection, "header_timeout_s", 0.2)

    async def act(port: int, hub: Any) -> None:
        reader, first = await asyncio.open_connection("127.0.0.1", port)
        first.write(HALF)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HALF + b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.write(HALF)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        for each in (first, writer):
            each.close()

    serving(tmp_path, act)


def test_http_server_answers_healthz_while_it_renders_100000_series(tmp_path: Path) -> None:
    async def act(port: int, hub: Any) -> None:
        for agent in range(100):
            names = tuple(f"n{number}" for number in range(1000))
            hub.current_state.update(
                "", [], [MetricSample(f"A{agent}", names, 1, array("d", range(1000)).tobytes())]
            )
        asked = asyncio.create_task(asyncio.to_thread(scrape_metrics, port))
        answers = 0
        while not asked.done():
            assert await asyncio.to_thread(healthz, port) == "ok"
            answers += 1
        assert (await asked).count(b"\n") > 100_000
        assert answers > 5  # one that waits for the page has one or two

    serving(tmp_path, act)


def scrape_metrics(port: int) -> bytes:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        link.request("GET", "/metrics")
        return link.getresponse().read()
    finally:
        link.close()


def test_http_server_answers_internal_failure_as_error_document(tmp_path: Path) -> None:
    async def act(port: int, hub: Any) -> None:
        def fail() -> str:
            raise RuntimeError("odd")

        hub.failure = fail
        told = json.loads(await asyncio.to_thread(healthz, port))
        assert told["argosy"] == "error/1"
        assert told["errors"][0]["message"] == "the hub failed: RuntimeError: odd"

    serving(tmp_path, act)


OWN = """
import sys
from pathlib import Path
from argosy.engine.logs.log_file import rotate_own_log
log = Path(sys.argv[1])
for number in range(6):
    print("x" * (1 << 19), number, flush=True)
    rotate_own_log(log)
print("error: the last word", file=sys.stderr)
"""


def test_hub_rotates_its_own_log_when_it_is_too_long(tmp_path: Path) -> None:
    log = tmp_path / "hub.log"
    with log.open("ab") as file:
        subprocess.run(
            [sys.executable, "-c", OWN, str(log)], stdout=file, stderr=file, check=True, timeout=60
        )
    aside = tmp_path / "hub.log.1"
    assert MAX_LOG_BYTES < aside.stat().st_size < 2 * MAX_LOG_BYTES
    assert log.stat().st_size <= MAX_LOG_BYTES
    assert last_error_line(log) == "the last word"
