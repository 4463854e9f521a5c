"""What the hub serves over HTTP: the health of itself, OpenMetrics, JSON, and a stream of changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argosy.hub.exposition import CONTENT_TYPE, exposition
from argosy.hub.standing import said

if TYPE_CHECKING:
    from argosy.hub.hub import Hub

_TYPES: Final = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "uplot.css": "text/css",
    "uplot.js": "text/javascript",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
KEEPALIVE_S: Final = 15.0
_HOUR_MS: Final = 3_600_000


def app_of(hub: Hub) -> Starlette:
    """Return the application of one hub."""
    pages = _Pages(hub)
    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/page/{name}", pages.part),
            Route("/healthz", pages.healthz),
            Route("/api/declared", pages.declared),
            Route("/metrics", pages.metrics),
            Route("/events", pages.events),
            Route("/api/fleet", pages.fleet),
            Route("/api/machines", pages.machines),
            Route("/api/agents/{agent}", pages.agent),
            Route("/api/alerts", pages.alerts),
            Route("/api/series", pages.series),
            Route("/api/events", pages.happened),
        ],
        middleware=[Middleware(_Strict), Middleware(GZipMiddleware, minimum_size=2000)],
    )


class _Strict:
    """Adds what keeps a browser from doing anything with these pages that they do not do themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_more)


class _Pages:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def index(self, request: Request) -> Response:
        return _part("index.html")

    async def part(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _TYPES:
            raise HTTPException(404)
        return _part(name)

    async def declared(self, request: Request) -> Response:
        """Return the fleet as its file declares it: each agent's machine, group, needs and wants."""
        return _json(
            {
                "fleet": self._hub.fleet,
                "environment": self._hub.environment,
                "declared": {
                    name: {
                        "machine": spec.machine or self._hub.machine,
                        "group": spec.group,
                        "needs": [need.agent for need in spec.needs],
                        "wants": list(spec.wants),
                    }
                    for name, spec in self._hub.declared().items()
                },
            }
        )

    async def healthz(self, request: Request) -> Response:
        """Say whether what comes in is kept."""
        failure = self._hub.keeper.failure
        return PlainTextResponse(failure or "ok", 503 if failure else 200)

    async def metrics(self, request: Request) -> Response:
        text = exposition(self._hub.standings.agents.values())
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def fleet(self, request: Request) -> Response:
        """Return all agents of all machines, as they are known here."""
        agents = sorted(self._hub.standings.agents.values(), key=lambda each: (each.machine, each.agent))
        return _json({"fleet": self._hub.fleet, "agents": [said(each) for each in agents]})

    async def machines(self, request: Request) -> Response:
        here = {"machine": self._hub.machine, "state": "here", "since": self._hub.began_s, "skew_s": 0.0}
        others = [
            {
                "machine": sight.machine,
                "state": "blind" if sight.is_blind else "linked",
                "since": sight.since,
                "reason": sight.reason,
                "skew_s": round(sight.skew_s, 3),
            }
            for sight in (puller.sight for puller in self._hub.pullers.values())
        ]
        return _json({"machines": [here, *others]})

    async def agent(self, request: Request) -> Response:
        """Return one agent with its figures and its last events."""
        name = request.path_params["agent"]
        found = [each for each in self._hub.standings.agents.values() if each.agent == name]
        if not found:
            raise HTTPException(404, f"no record tells of an agent `{name}`")
        happened = await self._hub.keeper.read(lambda reading: reading.events(subject=name, most=50))
        return _json(
            {
                "agents": [
                    {**said(each), "figures": each.figures, "figures_ms": each.figures_ms} for each in found
                ],
                "events": [_event(each) for each in happened],
            }
        )

    async def alerts(self, request: Request) -> Response:
        """Return the alerts that are open, and what waits for each receiver."""
        watch = self._hub.watch
        waiting = {each.name: {"waiting": each.waiting, "failure": each.failure} for each in watch.deliveries}
        return _json({"open": list(watch.open.values()), "receivers": waiting})

    async def series(self, request: Request) -> Response:
        """Return one figure over time: `agent`, `figure`, and `from`, `to` in epoch milliseconds."""
        now = int(time.time() * 1000)
        query = request.query_params
        agent, figure = query.get("agent"), query.get("figure")
        if not agent or not figure:
            raise HTTPException(400, "`agent` and `figure` have to be named")
        from_ms, to_ms = _number(query.get("from"), now - _HOUR_MS), _number(query.get("to"), now)
        at, values = await self._hub.keeper.read(
            lambda reading: reading.series(agent, figure, from_ms, to_ms, query.get("machine"))
        )
        return _json({"agent": agent, "figure": figure, "times": list(at), "values": list(values)})

    async def happened(self, request: Request) -> Response:
        """Return events, newest first: `from`, `to`, `agent`, `most`."""
        query = request.query_params
        from_ms, to_ms = _number(query.get("from"), 0), _number(query.get("to"), 1 << 62)
        most = min(10_000, max(1, _number(query.get("most"), 200)))
        happened = await self._hub.keeper.read(
            lambda reading: reading.events(from_ms, to_ms, query.get("agent"), most)
        )
        return _json({"events": [_event(each) for each in happened]})

    async def events(self, request: Request) -> Response:
        """Stream the standings, then each change, as server-sent events."""
        return StreamingResponse(
            self._stream(), headers={"cache-control": "no-store"}, media_type="text/event-stream"
        )

    async def _stream(self) -> AsyncIterator[bytes]:
        queue, leave = self._hub.standings.listen()
        try:
            for standing in list(self._hub.standings.agents.values()):
                yield _sent(said(standing))
            while not self._hub.is_stopping:
                try:
                    yield _sent(await asyncio.wait_for(queue.get(), KEEPALIVE_S))
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            leave()


def _event(happened: Any) -> dict[str, Any]:
    event = happened.event
    return {
        "machine": happened.origin.machine,
        "epoch": happened.origin.epoch,
        "number": happened.number,
        "time": event.time_ms / 1000,
        "kind": event.kind,
        "agent": event.subject,
        **event.body,
    }


def _sent(change: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(change) + b"\n\n"


def _part(name: str) -> Response:
    text = resources.files("argosy.hub").joinpath("page", name).read_bytes()
    return Response(text, headers={"cache-control": "no-cache"}, media_type=_TYPES[name])


def _json(value: dict[str, Any], code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), code, media_type="application/json")


def _number(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    try:
        return int(float(text))
    except ValueError:
        raise HTTPException(400, f"`{text}` is no number") from None
