"""The hub's web application: page, health, OpenMetrics, JSON API and stream of changes."""

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

from argosy.engine.state.damaged_stores import describe_damage
from argosy.fault import Fault, InputError
from argosy.hub.http.action_api import ActionApi
from argosy.hub.http.exposition import CONTENT_TYPE, render_pieces
from argosy.hub.http.history_api import HistoryApi, event_document, json_response, parse_number
from argosy.hub.http.request_guard import (
    RequestGuard,
    RequestRefusedError,
    can_read,
    check_origin,
    check_token,
    fault_response,
    has_cookie,
    set_cookie,
)
from argosy.hub.http.sse import MAX_SUBSCRIBERS, SseResponse
from argosy.hub.http.token import is_token
from argosy.hub.ingest.current_state import AgentSnapshot, CurrentState, to_document
from argosy.wire.errors import WireError

if TYPE_CHECKING:
    from argosy.hub.http.hub_services import HubServices

_MEDIA_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_HEALTH_TIMEOUT_S: Final = 1.0
_MAX_LINES: Final = 500


def make_app(hub: HubServices) -> Starlette:
    """Return the application of one hub."""
    handlers, action_api = _Handlers(hub), ActionApi(hub)
    return Starlette(
        routes=[
            Route("/", handlers.index),
            Route("/login", handlers.login),
            Route("/api/login", handlers.submit_token, methods=["POST"]),
            Route("/enter", handlers.login),  # the paths in earlier versions
            Route("/api/enter", handlers.submit_token, methods=["POST"]),
            Route("/page/{name}", handlers.asset),
            Route("/healthz", handlers.healthz),
            Route("/api/declared", handlers.declared),
            Route("/metrics", handlers.metrics),
            Route("/events", handlers.events),
            Route("/api/fleet", handlers.fleet),
            Route("/api/machines", handlers.machines),
            Route("/api/agents/{agent}", handlers.agent),
            Route("/api/agents/{agent}/health", handlers.health),
            Route("/api/agents/{agent}/log", handlers.log),
            Route("/api/alerts", handlers.alerts),
            *HistoryApi(hub).routes(),
            *action_api.routes(),
        ],
        middleware=[
            Middleware(
                RequestGuard,
                host_names=hub.host_names,
                token=hub.token_file,
                is_metrics_guarded=lambda: hub.is_metrics_guarded,
            ),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=5),
        ],
        exception_handlers={RequestRefusedError: _on_refused, HTTPException: _on_http},
    )


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefusedError)
    return fault_response(error.code, error.fault)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not-found", 405: "wrong-method"}.get(error.status_code, "bad-request")
    response = fault_response(error.status_code, Fault(request.url.path, code, error.detail))
    response.headers.update(error.headers or {})
    return response


class _Handlers:
    def __init__(self, hub: HubServices) -> None:
        self._hub = hub
        assets = resources.files("argosy.hub").joinpath("page")
        self._rendering: asyncio.Task[list[bytes]] | None = None
        self._assets = {each.name: each.read_bytes() for each in assets.iterdir() if each.is_file()}

    async def index(self, request: Request) -> Response:
        """Return the page to a browser with the cookie; redirect others to the login.

        The link has the token after `#`, which browsers do not send: the login page reads it. A token after
        `?` is checked here and redirected to that form, so that it does not stay in the address bar.
        """
        if has_cookie(request, self._hub.token_file):
            return self._asset_response("index.html")
        token = request.query_params.get("token", "")
        if not token or not is_token(self._hub.token_file, token):
            return RedirectResponse("login", 303)
        response = RedirectResponse(f"./#token={token}", 303)
        set_cookie(request, response, self._hub.token_file)
        return response

    async def login(self, request: Request) -> Response:
        """Return the login page, which explains how to get the token and reads it from a link."""
        return self._asset_response("login.html")

    async def submit_token(self, request: Request) -> Response:
        """Set the cookie for a page that sends the token."""
        check_origin(request)
        check_token(request, self._hub.token_file)
        response = json_response({"argosy": "login/1"})
        set_cookie(request, response, self._hub.token_file)
        return response

    async def asset(self, request: Request) -> Response:
        return self._asset_response(request.path_params["name"])

    def _asset_response(self, name: str) -> Response:
        kind = _MEDIA_TYPES.get(name.rpartition(".")[2])
        if kind is None or name not in self._assets:
            raise HTTPException(404, f"the page has no file `{name}`")
        return Response(self._assets[name], headers={"cache-control": "no-cache"}, media_type=kind)

    async def declared(self, request: Request) -> Response:
        """Return the fleet as declared: each agent's machine, group, needs and wants."""
        return json_response(
            {
                "fleet": self._hub.fleet,
                "environment": self._hub.environment,
                "actions": self._hub.action_policy,
                "machines": self._hub.declared_hardware(),
                "declared": {
                    name: {
                        "machine": spec.machine or self._hub.machine,
                        "group": spec.group,
                        "needs": [need.agent for need in spec.needs],
                        "wants": list(spec.wants),
                    }
                    for name, spec in self._hub.declared_agents().items()
                },
            }
        )

    async def healthz(self, request: Request) -> Response:
        """Return whether records are stored and all background tasks run."""
        failure = self._hub.failure()
        return PlainTextResponse(failure or "ok", 503 if failure else 200)

    async def metrics(self, request: Request) -> Response:
        """Return all metrics; concurrent requests share one rendering."""
        if self._rendering is None or self._rendering.done():
            self._rendering = asyncio.create_task(_render_metrics(self._hub.current_state))
        parts = await asyncio.shield(self._rendering)
        return StreamingResponse(_iterate(parts), headers={"content-type": CONTENT_TYPE})

    async def fleet(self, request: Request) -> Response:
        """Return the current state of all agents of all machines."""
        agents = sorted(self._hub.current_state.agents.values(), key=lambda each: (each.machine, each.agent))
        return json_response({"fleet": self._hub.fleet, "agents": [to_document(each) for each in agents]})

    async def machines(self, request: Request) -> Response:
        """Return the machines: whether they can be reached, and how many of their records are stored here."""
        hub = self._hub
        positions = await hub.writer.positions()
        machines = [
            {
                **status,
                "incarnations": len(origins),
                "events": sum(each.last_event for each in origins),
                "sample_rows": sum(each.last_row for each in origins),
            }
            for status in _machine_statuses(hub)
            for origins in [[each for each in positions if each.origin.machine == status["machine"]]]
        ]
        return json_response({"machines": machines, "viewers": len(hub.sse_broadcaster)})

    async def agent(self, request: Request) -> Response:
        """Return one agent with its metrics and its last events."""
        name = request.path_params["agent"]
        found = self._snapshots(name)
        stored_events = await self._hub.writer.read(lambda reader: reader.events(subject=name, limit=50))
        can_read_output = can_read(request, self._hub.token_file)
        return json_response(
            {
                "agents": [
                    {
                        **to_document(each),
                        "metrics": each.metrics,
                        "metrics_ms": each.metrics_ms,
                        "stale": each.stale_metrics(time.monotonic()),
                    }
                    for each in found
                ],
                "events": [event_document(each, can_read_output=can_read_output) for each in stored_events],
            }
        )

    def _snapshots(self, name: str) -> list[AgentSnapshot]:
        found = [each for each in self._hub.current_state.agents.values() if each.agent == name]
        if not found and name not in self._hub.declared_agents():
            raise HTTPException(404, f"no record mentions an agent `{name}`")
        return found

    async def health(self, request: Request) -> Response:
        """Return an agent's reply to a health request."""
        name = request.path_params["agent"]
        self._snapshots(name)
        try:
            answer = await asyncio.wait_for(self._hub.health_of(name), _HEALTH_TIMEOUT_S)
        except (WireError, InputError, TimeoutError) as error:
            return json_response({"agent": name, "health": None, "reason": str(error) or "no reply in time"})
        return json_response({"agent": name, "health": answer})

    async def log(self, request: Request) -> Response:
        """Return the last `n` lines of an agent of this machine."""
        name = request.path_params["agent"]
        self._snapshots(name)
        limit = min(_MAX_LINES, max(1, parse_number(request.query_params.get("n"), 40)))
        lines = await asyncio.to_thread(self._hub.last_lines, name, limit)
        return json_response({"agent": name, "lines": lines})

    async def alerts(self, request: Request) -> Response:
        """Return the active alerts, silences, the state of each receiver, and notices."""
        alert_manager = self._hub.alert_manager
        receivers = {
            each.name: {"waiting": each.waiting_count, "failure": each.failure}
            for each in alert_manager.deliveries
        }
        silences = alert_manager.evaluator.silences
        windows = [
            {
                "agents": None if each.agents is None else sorted(each.agents),
                "until": silences.local_end_s(each),
                "by": each.requested_by,
                "key": each.key,
                "target": each.target,
            }
            for each in silences.windows(alert_manager.now_s())
        ]
        damage = describe_damage(Path(self._hub.options.store))
        notices = [{"kind": "store-damaged", "text": f"the hub: {damage}"}] if damage else []
        return json_response(
            {
                "active": alert_manager.alerts(),
                "silences": windows,
                "receivers": receivers,
                "notices": notices,
            }
        )

    async def events(self, request: Request) -> Response:
        """Stream the current state, then each change, as server-sent events."""
        if len(self._hub.sse_broadcaster) >= MAX_SUBSCRIBERS:
            raise HTTPException(503, f"{MAX_SUBSCRIBERS} viewers are connected, which is the limit")
        return SseResponse(self._hub.sse_broadcaster)


async def _render_metrics(current_state: CurrentState) -> list[bytes]:
    """Return `/metrics` in parts; other requests are served between them."""
    parts = []
    for piece in render_pieces(list(current_state.agents.values())):
        if piece:
            parts.append(piece.encode())
        await asyncio.sleep(0)
    return parts


async def _iterate(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)  # lets other requests run while parts are compressed


def _machine_statuses(hub: HubServices) -> list[dict[str, Any]]:
    here = {"machine": hub.machine, "state": "here", "since": hub.started_s, "reason": "", "skew_s": 0.0}
    others = [
        {
            "machine": status.machine,
            "state": "blind" if status.is_unreachable else "linked",
            "since": status.since,
            "reason": status.reason,
            "skew_s": round(status.skew_s, 3),
        }
        for status in (replicator.status for replicator in hub.replicators.values())
    ]
    return [here, *others]
