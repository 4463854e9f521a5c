"""What the hub tells of the past over HTTP: figures and events over time, the fleet as it was, its starts."""

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
    from argosy.hub.hub_agent import HubAgent

_HOUR_MS: Final = 3_600_000
_MAX_EVENTS: Final = 10_000
_MAX_STARTS: Final = 20
_MAX_START_EVENTS: Final = 60_000
# `order` is `spawn-requested` as earlier versions wrote it.
_START_KINDS: Final = ("apply", "account", "order", "spawn-requested", "state", "adopted", "supervisor")
_MARK_KINDS: Final = ("alert", "apply", "restart", "action", "recovery", "blind", "sighted", "supervisor")
_MAX_MARKS: Final = 400
_MAX_NUMBER: Final = 1 << 62


class HistoryApi:
    """Answers for one hub's past."""

    def __init__(self, hub: HubAgent) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """Return what is served."""
        return [
            Route("/api/series", self.series),
            Route("/api/events", self.events),
            Route("/api/at", self.fleet_at),
            Route("/api/starts", self.starts),
            Route("/api/marks", self.marks),
        ]

    async def series(self, request: Request) -> Response:
        """Return one figure over time: `agent`, `figure`, and `from`, `to` in epoch milliseconds."""
        now = int(time.time() * 1000)
        query = request.query_params
        agent, metric = query.get("agent"), query.get("figure")
        if not agent or not metric:
            raise HTTPException(400, "`agent` and `figure` have to be named")
        from_ms, to_ms = parse_number(query.get("from"), now - _HOUR_MS), parse_number(query.get("to"), now)
        at, values = await self._hub.writer.read(
            lambda reading: reading.series(agent, metric, from_ms, to_ms, query.get("machine"))
        )
        return json_response({"agent": agent, "figure": metric, "times": list(at), "values": list(values)})

    async def events(self, request: Request) -> Response:
        """Return events, newest first: `from`, `to`, `agent`, `kind`, `most`; with what agents printed."""
        query = request.query_params
        from_ms, to_ms = parse_number(query.get("from"), 0), parse_number(query.get("to"), 1 << 62)
        limit = min(_MAX_EVENTS, max(1, parse_number(query.get("most"), 200)))
        kinds, agent = query.getlist("kind"), query.get("agent")
        stored_events = await self._hub.writer.read(
            lambda reading: (
                reading.events_of_kinds(kinds, from_ms, to_ms, limit, agent)
                if kinds
                else reading.events(from_ms, to_ms, agent, limit)
            )
        )
        return json_response(
            {"events": [event_document(each, can_read_output=True) for each in stored_events]}
        )

    async def fleet_at(self, request: Request) -> Response:
        """Return all agents as they were at a `time` (epoch milliseconds)."""
        text = request.query_params.get("time")
        if text is None:
            raise HTTPException(400, "`time` has to be given, in epoch milliseconds")
        time_ms = parse_number(text, 0)
        names = sorted(
            {*self._hub.declared_agents(), *(agent for _, agent in self._hub.current_state.agents)}
        )
        stored_events = await self._hub.writer.read(lambda reading: reading.states_at(names, time_ms))
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
        """Return the last starts of a `machine` (this one), newest first: `most` of them."""
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
        """Return how far back the records go, and the times that are worth a look."""
        now = int(time.time() * 1000)
        from_ms = parse_number(request.query_params.get("from"), now - 24 * _HOUR_MS)
        (first, _), stored_events = await self._hub.writer.read(
            lambda reading: (
                reading.time_range_ms(),
                reading.events_of_kinds(_MARK_KINDS, from_ms, 1 << 62, _MAX_MARKS),
            )
        )
        marks = [
            {"time": each.event.time_ms / 1000, "kind": each.event.kind, "agent": each.event.subject}
            for each in reversed(stored_events)
        ]
        return json_response({"first": first / 1000, "now": now / 1000, "marks": marks})


def event_document(stored_event: StoredEvent, *, can_read_output: bool) -> dict[str, Any]:
    """Return an event as it is told; without `sees_lines` what an agent printed is named as withheld."""
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


def json_response(value: Mapping[str, Any], status_code: int = 200) -> Response:
    """Return a value as JSON."""
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), status_code, headers, "application/json")


def parse_number(text: str | None, default: int) -> int:
    """Return a number of a query. Raises HTTPException: it is none, or one that no record can have."""
    if text is None:
        return default
    try:
        found = int(float(text))
    except (ValueError, OverflowError):
        raise HTTPException(400, f"`{text}` is no number") from None
    if abs(found) > _MAX_NUMBER:
        raise HTTPException(400, f"`{text}` is out of range: numbers go from -2^62 to 2^62")
    return found


def _log_record(stored_event: StoredEvent) -> EventLogRecord:
    """Return an event of the engine as the line of a diary that it was."""
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
