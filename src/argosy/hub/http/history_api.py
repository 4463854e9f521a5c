"""The history API over HTTP: metrics and events over time, past states of the fleet, and its starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.engine.explain.start_timeline import StartTimeline, latest_starts
from argosy.engine.state.event_log import EventLogRecord, current_kind
from argosy.fleet.dependency_graph import graph_from_edges
from argosy.hub.alerts.alert_manager import needs_of_specs
from argosy.hub.store.store_reader import StoredEvent, StoreReader

if TYPE_CHECKING:
    from argosy.hub.http.hub_services import HubServices

_HOUR_MS: Final = 3_600_000
_MAX_EVENTS: Final = 10_000
_MAX_STARTS: Final = 20
_MAX_START_EVENTS: Final = 60_000
_START_KINDS: Final = ("apply", "apply-summary", "spawn-requested", "state", "adopted", "supervisor")
_MARK_KINDS: Final = (
    "alert",
    "apply",
    "restart",
    "action",
    "recovery",
    "hub-unreachable",
    "hub-reachable",
    "supervisor",
)
_MAX_MARKS: Final = 400
_MAX_NUMBER: Final = 1 << 62


class HistoryApi:
    """The routes for one hub's history."""

    def __init__(self, hub: HubServices) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api/series", self.series),
            Route("/api/events", self.events),
            Route("/api/snapshot", self.fleet_at),
            Route("/api/at", self.fleet_at),  # the path in earlier versions
            Route("/api/starts", self.starts),
            Route("/api/marks", self.marks),
        ]

    async def series(self, request: Request) -> Response:
        """Return a metric over time: `agent`, `metric`, and `from`, `to` in epoch milliseconds."""
        now = int(time.time() * 1000)
        query = request.query_params
        agent, metric = query.get("agent"), query.get("metric", query.get("figure"))
        if not agent or not metric:
            raise HTTPException(400, "`agent` and `metric` are required")
        from_ms, to_ms = parse_number(query.get("from"), now - _HOUR_MS), parse_number(query.get("to"), now)
        at, values = await self._hub.writer.read(
            lambda reader: reader.series(agent, metric, from_ms, to_ms, query.get("machine"))
        )
        return json_response({"agent": agent, "metric": metric, "times": list(at), "values": list(values)})

    async def events(self, request: Request) -> Response:
        """Return events, newest first, with log lines: `from`, `to`, `agent`, `kind`, `most`."""
        query = request.query_params
        from_ms, to_ms = parse_number(query.get("from"), 0), parse_number(query.get("to"), 1 << 62)
        limit = min(_MAX_EVENTS, max(1, parse_number(query.get("most"), 200)))
        kinds, agent = query.getlist("kind"), query.get("agent")
        stored_events = await self._hub.writer.read(
            lambda reader: (
                reader.events_of_kinds(kinds, from_ms, to_ms, limit, agent)
                if kinds
                else reader.events(from_ms, to_ms, agent, limit)
            )
        )
        return json_response(
            {"events": [event_document(each, can_read_output=True) for each in stored_events]}
        )

    async def fleet_at(self, request: Request) -> Response:
        """Return the state of all agents at a `time` (epoch milliseconds)."""
        text = request.query_params.get("time")
        if text is None:
            raise HTTPException(400, "`time` is required, in epoch milliseconds")
        time_ms = parse_number(text, 0)
        names = sorted(
            {*self._hub.declared_agents(), *(agent for _, agent in self._hub.current_state.agents)}
        )
        stored_events = await self._hub.writer.read(lambda reader: reader.states_at(names, time_ms))
        return json_response({"time": time_ms, "agents": [self._past_state(each) for each in stored_events]})

    def _past_state(self, stored_event: StoredEvent) -> dict[str, Any]:
        event = stored_event.event
        return {
            "agent": event.subject,
            "machine": self._hub.machine_of(event.subject) or stored_event.origin.machine,
            "state": event.body.get("state", "unknown"),
            "since": event.time_ms / 1000,
            "reason": event.body.get("text", ""),
            "pid": event.body.get("pid"),
        }

    async def starts(self, request: Request) -> Response:
        """Return the last `most` starts of a `machine` (default: this one), newest first."""
        machine = request.query_params.get("machine", self._hub.machine)
        limit = min(_MAX_STARTS, max(1, parse_number(request.query_params.get("most"), 5)))
        graph = graph_from_edges(needs_of_specs(self._hub.declared_agents()))

        def query_starts(reader: StoreReader) -> list[dict[str, Any]]:
            stored_events = reader.events_of_kinds(_START_KINDS, 0, 1 << 62, _MAX_START_EVENTS)
            entries = [
                _log_record(each) for each in reversed(stored_events) if each.origin.machine == machine
            ]
            return [_start_document(each) for each in latest_starts(entries, graph, time.monotonic(), limit)]

        return json_response({"machine": machine, "starts": await self._hub.writer.read(query_starts)})

    async def marks(self, request: Request) -> Response:
        """Return the time of the first record, and the notable events since `from`."""
        now = int(time.time() * 1000)
        from_ms = parse_number(request.query_params.get("from"), now - 24 * _HOUR_MS)
        (first, _), stored_events = await self._hub.writer.read(
            lambda reader: (
                reader.time_range_ms(),
                reader.events_of_kinds(_MARK_KINDS, from_ms, 1 << 62, _MAX_MARKS),
            )
        )
        marks = [
            {"time": each.event.time_ms / 1000, "kind": each.event.kind, "agent": each.event.subject}
            for each in reversed(stored_events)
        ]
        return json_response({"first": first / 1000, "now": now / 1000, "marks": marks})


def event_document(stored_event: StoredEvent, *, can_read_output: bool) -> dict[str, Any]:
    """Return an event as a JSON document.

    Without `can_read_output` the fields with an agent's output are listed in `withheld` instead.
    """
    event = stored_event.event
    printed = {name for name in event.body if name == "lines" or (name == "text" and event.kind == "log")}
    withheld = set() if can_read_output else printed
    return {
        "machine": stored_event.origin.machine,
        "epoch": stored_event.origin.epoch,
        "number": stored_event.number,
        "time": event.time_ms / 1000,
        "kind": event.kind,
        "agent": event.subject,
        **{name: value for name, value in event.body.items() if name != "mono" and name not in withheld},
        **({"withheld": sorted(withheld)} if withheld else {}),
    }


def json_response(value: Mapping[str, Any]) -> Response:
    """Return a JSON response."""
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), 200, headers, "application/json")


def parse_number(text: str | None, default: int) -> int:
    """Return a query parameter as an integer. Raises HTTPException: not a number, or out of range."""
    if text is None:
        return default
    try:
        found = int(float(text))
    except (ValueError, OverflowError):
        raise HTTPException(400, f"`{text}` is not a number") from None
    if abs(found) > _MAX_NUMBER:
        raise HTTPException(400, f"`{text}` is out of the range from -2^62 to 2^62")
    return found


def _log_record(stored_event: StoredEvent) -> EventLogRecord:
    """Return the event log record of a stored engine event."""
    event, body = stored_event.event, stored_event.event.body
    at_s = event.time_ms / 1000
    return EventLogRecord(
        sequence=stored_event.number,
        at_s=at_s,
        mono_s=float(body.get("mono", at_s)),
        kind=current_kind(event.kind),
        agent=event.subject,
        state=str(body.get("state", "")),
        pid=body.get("pid"),
        text=str(body.get("text", "")),
    )


def _start_document(timeline: StartTimeline) -> dict[str, Any]:
    return {
        "at": timeline.at_s,
        "seconds": round(timeline.seconds, 4),
        "is_over": timeline.is_complete,
        "needs_alone_seconds": round(timeline.unlimited_seconds, 4),
        "critical_path": [step.agent for step in timeline.critical_path],
        "critical_path_seconds": round(timeline.critical_path_s, 4),
        "bars": [
            {
                "agent": bar.agent,
                "ready": None if bar.ready_s is None else round(bar.ready_s, 4),
                "gate": bar.gating_need,
                "end": bar.outcome,
                "starts": bar.start_count,
                "stretches": [
                    [each.phase.value, round(each.from_s, 4), round(each.to_s, 4)] for each in bar.spans
                ],
            }
            for bar in timeline.bars
        ],
    }
