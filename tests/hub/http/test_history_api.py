"""History API: printed output needs the token, filters combine, and invalid numbers are refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from argosy.hub.http.token import read_token
from argosy.hub.http.web_app import make_app
from argosy.hub.ingest.current_state import CurrentState
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreWriter

NEAR, FAR = "127.0.0.1", "192.168.1.9"
Ask = Callable[..., Awaitable[tuple[int, Any]]]


def asked(tmp_path: Path, events: list[HubEvent], act: Callable[[Ask], Awaitable[None]]) -> None:
    """Let `act` ask a hub that knows these events. A client is an address: far ones need no network."""

    async def go() -> None:
        hub_writer = StoreWriter(tmp_path / "hub.db", "pc1", 0.0)
        await hub_writer.append(events)
        hub: Any = SimpleNamespace(
            writer=hub_writer,
            machine="pc1",
            current_state=CurrentState(),
            declared_agents=lambda: {"A": SimpleNamespace(needs=()), "B": SimpleNamespace(needs=())},
            machine_of=lambda _: None,
            host_names=frozenset,
            token_file=tmp_path / "token",
            is_metrics_guarded=False,
            options=SimpleNamespace(fleet=str(tmp_path / "fleet.yaml")),
            last_lines=lambda *_: ["secret"],
        )
        app = make_app(hub)

        async def ask(
            path: str, client: str = NEAR, token: str | None = None, **query: Any
        ) -> tuple[int, Any]:
            token = read_token(tmp_path / "token") if token is None else token
            headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
            scope = {
                "type": "http",
                "method": "GET",
                "path": path,
                "raw_path": path.encode(),
                "query_string": urlencode(query, doseq=True).encode(),
                "headers": headers,
                "client": (client, 5),
                "server": (NEAR, 9470),
                "scheme": "http",
                "root_path": "",
                "http_version": "1.1",
            }
            sent: list[Any] = []

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                sent.append(message)

            await app(scope, receive, send)
            return sent[0]["status"], json.loads(b"".join(each.get("body", b"") for each in sent[1:]))

        try:
            await act(ask)
        finally:
            await hub_writer.close()

    asyncio.run(go())


def event_before(ago_s: float, kind: str, agent: str, **body: Any) -> HubEvent:
    return HubEvent(int((time.time() - ago_s) * 1000), kind, agent, body)


def events() -> list[HubEvent]:
    return [
        event_before(3, "log", "A", level="error", text="secret"),
        event_before(2, "state", "A", state="failed", text="exit code 1", lines=["secret"]),
        event_before(1, "state", "B", state="ready"),
    ]


def test_history_api_requires_token_for_agent_output_also_on_loopback(tmp_path: Path) -> None:
    async def act(ask: Ask) -> None:
        ways: list[tuple[str, dict[str, Any]]] = [
            ("/api/events", {}),
            ("/api/events", {"agent": "A"}),
            ("/api/events", {"kind": ["log", "state"]}),
            ("/api/agents/A", {}),
            ("/api/agents/A/log", {}),
        ]
        for path, query in ways:
            for client in (NEAR, FAR):
                code, answer = await ask(path, client, **query)
                assert (code, "secret" in str(answer)) == (200, True), (path, query, client)
                for token in ("", "guessed"):
                    code, answer = await ask(path, client, token, **query)
                    assert (code, "secret" in str(answer)) == (401, False), (path, query)
                    assert answer["argosy"] == "error/1"

    asked(tmp_path, events(), act)


def test_events_api_combines_agent_and_kind_filters(tmp_path: Path) -> None:
    async def act(ask: Ask) -> None:
        for agent, kind, count in (("A", "state", 1), ("B", "state", 1), ("B", "log", 0), ("A", "log", 1)):
            _, answer = await ask("/api/events", agent=agent, kind=kind)
            assert len(answer["events"]) == count, (agent, kind)

    asked(tmp_path, events(), act)


@pytest.mark.parametrize("text", ["1e30", "-9e30", "1e25", "inf", "nan", "x"])
def test_history_api_refuses_out_of_range_number_and_names_it(tmp_path: Path, text: str) -> None:
    ways = [
        ("/api/series", {"agent": "A", "metric": "f", "from": text}),
        ("/api/series", {"agent": "A", "metric": "f", "to": text}),
        ("/api/events", {"from": text}),
        ("/api/events", {"to": text, "kind": "state"}),
        ("/api/events", {"most": text}),
        ("/api/snapshot", {"time": text}),
        ("/api/starts", {"most": text}),
        ("/api/marks", {"from": text}),
        ("/api/agents/A/log", {"n": text}),
    ]

    async def act(ask: Ask) -> None:
        for path, query in ways:
            code, answer = await ask(path, **query)
            assert (code, answer["errors"][0]["code"]) == (400, "bad-request"), (path, query)
            assert text in answer["errors"][0]["message"]

    asked(tmp_path, [], act)


def test_history_api_accepts_largest_numbers(tmp_path: Path) -> None:
    async def act(ask: Ask) -> None:
        for number in (1 << 62, -(1 << 62)):
            for path, query in (
                ("/api/series", {"agent": "A", "metric": "f", "from": number, "to": number}),
                ("/api/events", {"from": number, "to": number}),
                ("/api/snapshot", {"time": number}),
                ("/api/marks", {"from": number}),
            ):
                assert (await ask(path, **query))[0] == 200, (path, number)

    asked(tmp_path, events(), act)
