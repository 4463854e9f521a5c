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

from argosy.engine.diary import Entry
from argosy.engine.timeline import Timeline, last_starts
from argosy.fleet.graph import graph_of
from argosy.hub.reading import Happened, Reading
from argosy.hub.watch import needs_of_specs

if TYPE_CHECKING:
    from argosy.hub.hub import Hub

_HOUR_MS: Final = 3_600_000
_MOST_EVENTS: Final = 10_000
_MOST_STARTS: Final = 20
_START_EVENTS: Final = 60_000
_OF_STARTS: Final = ("apply", "account", "order", "state", "adopted", "supervisor")
_WORTH_A_MARK: Final = ("alert", "apply", "restart", "action", "recovery", "blind", "sighted", "supervisor")
_MOST_MARKS: Final = 400
_MOST_NUMBER: Final = 1 << 62


class History:
    """Answers for one hub's past."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """Return what is served."""
        return [
            Route("/api/series", self.series),
            Route("/api/events", self.events),
            Route("/api/at", self.at),
            Route("/api/starts", self.starts),
            Route("/api/marks", self.marks),
        ]

    async def series(self, request: Request) -> Response:
        """Return one figure over time: `agent`, `figure`, and `from`, `to` in epoch milliseconds."""
        now = int(time.time() * 1000)
        query = request.query_params
        agent, figure = query.get("agent"), query.get("figure")
        if not agent or not figure:
            raise HTTPException(400, "`agent` and `figure` have to be named")
        from_ms, to_ms = number(query.get("from"), now - _HOUR_MS), number(query.get("to"), now)
        at, values = await self._hub.keeper.read(
            lambda reading: reading.series(agent, figure, from_ms, to_ms, query.get("machine"))
        )
        return answered({"agent": agent, "figure": figure, "times": list(at), "values": list(values)})

    async def events(self, request: Request) -> Response:
        """Return events, newest first: `from`, `to`, `agent`, `kind`, `most`; with what agents printed."""
        query = request.query_params
        from_ms, to_ms = number(query.get("from"), 0), number(query.get("to"), 1 << 62)
        most = min(_MOST_EVENTS, max(1, number(query.get("most"), 200)))
        kinds, agent = query.getlist("kind"), query.get("agent")
        happened = await self._hub.keeper.read(
            lambda reading: (
                reading.of_kinds(kinds, from_ms, to_ms, most, agent)
                if kinds
                else reading.events(from_ms, to_ms, agent, most)
            )
        )
        return answered({"events": [told(each, sees_lines=True) for each in happened]})

    async def at(self, request: Request) -> Response:
        """Return all agents as they were at a `time` (epoch milliseconds)."""
        text = request.query_params.get("time")
        if text is None:
            raise HTTPException(400, "`time` has to be given, in epoch milliseconds")
        time_ms = number(text, 0)
        names = sorted({*self._hub.declared(), *(agent for _, agent in self._hub.standings.agents)})
        happened = await self._hub.keeper.read(lambda reading: reading.states_at(names, time_ms))
        return answered({"time": time_ms, "agents": [self._stood(each) for each in happened]})

    def _stood(self, happened: Happened) -> dict[str, Any]:
        event = happened.event
        return {
            "agent": event.subject,
            "machine": self._hub.home_of(event.subject) or happened.origin.machine,
            "state": event.body.get("state", "unknown"),
            "since": event.time_ms / 1000,
            "reason": event.body.get("text", ""),
            "pid": event.body.get("pid"),
        }

    async def starts(self, request: Request) -> Response:
        """Return the last starts of a `machine` (this one), newest first: `most` of them."""
        machine = request.query_params.get("machine", self._hub.machine)
        most = min(_MOST_STARTS, max(1, number(request.query_params.get("most"), 5)))
        graph = graph_of(needs_of_specs(self._hub.declared()))

        def look(reading: Reading) -> list[dict[str, Any]]:
            happened = reading.of_kinds(_OF_STARTS, 0, 1 << 62, _START_EVENTS)
            entries = [_entry(each) for each in reversed(happened) if each.origin.machine == machine]
            return [_start(each) for each in last_starts(entries, graph, time.monotonic(), most)]

        return answered({"machine": machine, "starts": await self._hub.keeper.read(look)})

    async def marks(self, request: Request) -> Response:
        """Return how far back the records go, and the times that are worth a look."""
        now = int(time.time() * 1000)
        from_ms = number(request.query_params.get("from"), now - 24 * _HOUR_MS)
        (first, _), happened = await self._hub.keeper.read(
            lambda reading: (
                reading.span_ms(),
                reading.of_kinds(_WORTH_A_MARK, from_ms, 1 << 62, _MOST_MARKS),
            )
        )
        marks = [
            {"time": each.event.time_ms / 1000, "kind": each.event.kind, "agent": each.event.subject}
            for each in reversed(happened)
        ]
        return answered({"first": first / 1000, "now": now / 1000, "marks": marks})


def told(happened: Happened, *, sees_lines: bool) -> dict[str, Any]:
    """Return an event as it is told; without `sees_lines` what an agent printed is named as withheld."""
    event = happened.event
    printed = {name for name in event.body if name == "lines" or (name == "text" and event.kind == "log")}
    withheld = set() if sees_lines else printed
    return {
        "machine": happened.origin.machine,
        "epoch": happened.origin.epoch,
        "number": happened.number,
        "time": event.time_ms / 1000,
        "kind": event.kind,
        "agent": event.subject,
        **{name: value for name, value in event.body.items() if name != "mono" and name not in withheld},
        **({"withheld": sorted(withheld)} if withheld else {}),
    }


def answered(value: Mapping[str, Any], code: int = 200) -> Response:
    """Return a value as JSON."""
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), code, headers, "application/json")


def number(text: str | None, otherwise: int) -> int:
    """Return a number of a query. Raises HTTPException: it is none, or one that no record can have."""
    if text is None:
        return otherwise
    try:
        found = int(float(text))
    except (ValueError, OverflowError):
        raise HTTPException(400, f"`{text}` is no number") from None
    if abs(found) > _MOST_NUMBER:
        raise HTTPException(400, f"`{text}` is out of range: numbers go from -2^62 to 2^62")
    return found


def _entry(happened: Happened) -> Entry:
    """Return an event of the engine as the line of a diary that it was."""
    event, body = happened.event, happened.event.body
    at_s = event.time_ms / 1000
    return Entry(
        sequence=happened.number,
        at_s=at_s,
        mono_s=float(body.get("mono", at_s)),
        kind=event.kind,
        agent=event.subject,
        state=str(body.get("state", "")),
        pid=body.get("pid"),
        text=str(body.get("text", "")),
    )


def _start(timeline: Timeline) -> dict[str, Any]:
    return {
        "at": timeline.at_s,
        "seconds": round(timeline.seconds, 4),
        "is_over": timeline.is_over,
        "needs_alone_seconds": round(timeline.needs_alone_s, 4),
        "critical_path": [step.agent for step in timeline.critical_path],
        "critical_path_seconds": round(timeline.critical_path_s, 4),
        "bars": [
            {
                "agent": bar.agent,
                "ready": None if bar.ready_s is None else round(bar.ready_s, 4),
                "gate": bar.gate,
                "end": bar.end,
                "starts": bar.starts,
                "stretches": [
                    [each.phase.value, round(each.from_s, 4), round(each.to_s, 4)] for each in bar.stretches
                ],
            }
            for bar in timeline.bars
        ],
    }
