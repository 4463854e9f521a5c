"""What the hub serves over HTTP: its page, its own health, OpenMetrics, JSON, and a stream of changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from argosy.engine.damaged import damage_told
from argosy.fault import Fault, InputError
from argosy.hub.exposition import CONTENT_TYPE, pieces
from argosy.hub.gate import (
    Gate,
    GateError,
    check_origin,
    check_token,
    fault_response,
    give_cookie,
    has_cookie,
    has_sight,
)
from argosy.hub.history import History, answered, number, told
from argosy.hub.orders import Orders
from argosy.hub.standing import Standings, said
from argosy.hub.token import is_token
from argosy.hub.viewers import MOST_VIEWERS, Stream
from argosy.wire.errors import WireError

if TYPE_CHECKING:
    from argosy.hub.hub import Hub

_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_HEALTH_WITHIN_S: Final = 1.0
_MOST_LINES: Final = 500


def app_of(hub: Hub) -> Starlette:
    """Return the application of one hub."""
    pages, orders = _Pages(hub), Orders(hub)
    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/enter", pages.enter),
            Route("/api/enter", pages.take_token, methods=["POST"]),
            Route("/page/{name}", pages.part),
            Route("/healthz", pages.healthz),
            Route("/api/declared", pages.declared),
            Route("/metrics", pages.metrics),
            Route("/events", pages.events),
            Route("/api/fleet", pages.fleet),
            Route("/api/machines", pages.machines),
            Route("/api/agents/{agent}", pages.agent),
            Route("/api/agents/{agent}/health", pages.health),
            Route("/api/agents/{agent}/log", pages.log),
            Route("/api/alerts", pages.alerts),
            *History(hub).routes(),
            *orders.routes(),
        ],
        middleware=[
            Middleware(Gate, names=hub.names, token=hub.token_file, is_all=lambda: hub.is_all_guarded),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=5),
        ],
        exception_handlers={GateError: _on_gate, HTTPException: _on_http},
    )


async def _on_gate(_: Request, error: Exception) -> Response:
    assert isinstance(error, GateError)
    return fault_response(error.code, error.fault)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not-found", 405: "wrong-method"}.get(error.status_code, "bad-request")
    response = fault_response(error.status_code, Fault(request.url.path, code, error.detail))
    response.headers.update(error.headers or {})
    return response


class _Pages:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        folder = resources.files("argosy.hub").joinpath("page")
        self._laying_out: asyncio.Task[list[bytes]] | None = None
        self._parts = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}

    async def index(self, request: Request) -> Response:
        """Return the page to a browser that has the cookie, and to others the way in.

        The link has the token behind its `#`, which is not sent: the way in reads it. Behind a `?` it is
        taken here, and handed on in that form, so that it stays in no address bar.
        """
        if has_cookie(request, self._hub.token_file):
            return self._part("index.html")
        word = request.query_params.get("token", "")
        if not word or not is_token(self._hub.token_file, word):
            return RedirectResponse("enter", 303)
        response = RedirectResponse(f"./#token={word}", 303)
        give_cookie(request, response, self._hub.token_file)
        return response

    async def enter(self, request: Request) -> Response:
        """Return the page that says how to get in, and takes the token of a link."""
        return self._part("enter.html")

    async def take_token(self, request: Request) -> Response:
        """Give the cookie to a page that shows the token."""
        check_origin(request)
        check_token(request, self._hub.token_file)
        response = answered({"argosy": "enter/1"})
        give_cookie(request, response, self._hub.token_file)
        return response

    async def part(self, request: Request) -> Response:
        return self._part(request.path_params["name"])

    def _part(self, name: str) -> Response:
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is None or name not in self._parts:
            raise HTTPException(404, f"the page has no part `{name}`")
        return Response(self._parts[name], headers={"cache-control": "no-cache"}, media_type=kind)

    async def declared(self, request: Request) -> Response:
        """Return the fleet as its file declares it: each agent's machine, group, needs and wants."""
        return answered(
            {
                "fleet": self._hub.fleet,
                "environment": self._hub.environment,
                "actions": self._hub.actions,
                "machines": self._hub.hardware(),
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
        """Say whether what comes in is kept, and all of the hub runs."""
        failure = self._hub.failure()
        return PlainTextResponse(failure or "ok", 503 if failure else 200)

    async def metrics(self, request: Request) -> Response:
        """Return all figures; who asks while they are being laid out is given the same."""
        if self._laying_out is None or self._laying_out.done():
            self._laying_out = asyncio.create_task(_laid_out(self._hub.standings))
        parts = await asyncio.shield(self._laying_out)
        return StreamingResponse(_each(parts), headers={"content-type": CONTENT_TYPE})

    async def fleet(self, request: Request) -> Response:
        """Return all agents of all machines, as they are known here."""
        agents = sorted(self._hub.standings.agents.values(), key=lambda each: (each.machine, each.agent))
        return answered({"fleet": self._hub.fleet, "agents": [said(each) for each in agents]})

    async def machines(self, request: Request) -> Response:
        """Return the machines: how they are seen, and how far their records are known here."""
        hub = self._hub
        positions = await hub.keeper.positions()
        found = [
            {
                **sight,
                "lives": sum(each.origin.machine == sight["machine"] for each in positions),
                "events": sum(each.events for each in positions if each.origin.machine == sight["machine"]),
                "ticks": sum(each.ticks for each in positions if each.origin.machine == sight["machine"]),
            }
            for sight in _sights(hub)
        ]
        return answered({"machines": found, "viewers": len(hub.viewers)})

    async def agent(self, request: Request) -> Response:
        """Return one agent with its figures and its last events."""
        name = request.path_params["agent"]
        found = self._standings(name)
        happened = await self._hub.keeper.read(lambda reading: reading.events(subject=name, most=50))
        sees_lines = has_sight(request, self._hub.token_file)
        return answered(
            {
                "agents": [
                    {
                        **said(each),
                        "figures": each.figures,
                        "figures_ms": each.figures_ms,
                        "old": each.old(time.monotonic()),
                    }
                    for each in found
                ],
                "events": [told(each, sees_lines=sees_lines) for each in happened],
            }
        )

    def _standings(self, name: str) -> list[Any]:
        found = [each for each in self._hub.standings.agents.values() if each.agent == name]
        if not found and name not in self._hub.declared():
            raise HTTPException(404, f"no record tells of an agent `{name}`")
        return found

    async def health(self, request: Request) -> Response:
        """Return what an agent of the library answers to a question for its health, with its facts."""
        name = request.path_params["agent"]
        self._standings(name)
        try:
            answer = await asyncio.wait_for(self._hub.health_of(name), _HEALTH_WITHIN_S)
        except (WireError, InputError, TimeoutError) as error:
            return answered({"agent": name, "health": None, "reason": str(error) or "no answer in time"})
        return answered({"agent": name, "health": answer})

    async def log(self, request: Request) -> Response:
        """Return the last `n` lines of an agent of this machine."""
        name = request.path_params["agent"]
        self._standings(name)
        most = min(_MOST_LINES, max(1, number(request.query_params.get("n"), 40)))
        lines = await asyncio.to_thread(self._hub.last_lines, name, most)
        return answered({"agent": name, "lines": lines})

    async def alerts(self, request: Request) -> Response:
        """Return the alerts that are open, quiet windows, what waits for each receiver, and notices."""
        watch = self._hub.watch
        waiting = {each.name: {"waiting": each.waiting, "failure": each.failure} for each in watch.deliveries}
        quiet = watch.alerting.quiet
        windows = [
            {
                "agents": None if each.agents is None else sorted(each.agents),
                "until": quiet.until_s(each),
                "by": each.by,
                "key": each.key,
                "asked": each.asked,
            }
            for each in quiet.windows(watch.now_s())
        ]
        damage = damage_told(Path(self._hub.options.store))
        notices = [{"kind": "store-damaged", "text": f"the hub: {damage}"}] if damage else []
        return answered({"open": watch.raised(), "quiet": windows, "receivers": waiting, "notices": notices})

    async def events(self, request: Request) -> Response:
        """Stream the standings, then each change, as server-sent events."""
        if len(self._hub.viewers) >= MOST_VIEWERS:
            raise HTTPException(503, f"{MOST_VIEWERS} viewers look already, which is as many as there may be")
        return Stream(self._hub.viewers)


async def _laid_out(standings: Standings) -> list[bytes]:
    """Return the page of figures in parts; others are answered between them."""
    parts = []
    for piece in pieces(list(standings.agents.values())):
        if piece:
            parts.append(piece.encode())
        await asyncio.sleep(0)
    return parts


async def _each(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)  # also while a part is compressed for a reader that keeps up


def _sights(hub: Hub) -> list[dict[str, Any]]:
    here = {"machine": hub.machine, "state": "here", "since": hub.began_s, "reason": "", "skew_s": 0.0}
    others = [
        {
            "machine": sight.machine,
            "state": "blind" if sight.is_blind else "linked",
            "since": sight.since,
            "reason": sight.reason,
            "skew_s": round(sight.skew_s, 3),
        }
        for sight in (puller.sight for puller in hub.pullers.values())
    ]
    return [here, *others]
