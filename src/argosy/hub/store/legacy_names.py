"""Names that earlier versions gave to event kinds, body fields and sources, mapped to today's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from argosy.engine.state.event_log import RENAMED_KINDS
from argosy.hub.store.records import HubEvent, decode_event_as_written

_KINDS: Final = {
    **RENAMED_KINDS,
    "blind": "hub-unreachable",
    "sighted": "hub-reachable",
    "flood": "log-rate-limited",
    "figures-dropped": "metrics-dropped",
    "unscraped": "scrape-failed",
    "scraped": "scrape-recovered",
}
_FIELDS: Final = {
    "action": {"do": "action", "covered": "silenced_agents"},
    "recovery": {"do": "action", "of": "max_attempts"},
    "alert": {"about": "category", "figure": "metric", "had": "delivered_to"},
    "metrics-dropped": {"most": "max_names"},
}
_VALUES: Final[dict[str, dict[str, dict[Any, str]]]] = {
    "action": {
        "action": {"quiet": "silence", "loud": "unsilence"},
        "outcome": {"begun": "started"},
    },
    "recovery": {"outcome": {"begun": "started", "budget spent": "exhausted"}},
    "alert": {"category": {"trouble": "unhealthy"}},
}


def decode_event(row: bytes) -> HubEvent:
    """Return a stored event with today's names. Raises msgspec.DecodeError."""
    return upgrade_event(decode_event_as_written(row))


def upgrade_event(event: HubEvent) -> HubEvent:
    """Return an event with today's names."""
    kind = _KINDS.get(event.kind, event.kind)
    body = event.body
    if fields := _FIELDS.get(kind):
        body = {fields.get(name, name): value for name, value in body.items()}
        for name, values in _VALUES.get(kind, {}).items():
            if name in body:
                body[name] = values.get(body[name], body[name])
        if "delivered_to" in body:
            body["delivered_to"] = [receiver.removeprefix("the ") for receiver in body["delivered_to"]]
    return HubEvent(event.time_ms, kind, event.subject, body)


def stored_kinds(kinds: Iterable[str]) -> list[str]:
    """Return the names under which events of some kinds may be stored, today's and earlier ones."""
    current = {_KINDS.get(kind, kind) for kind in kinds}
    return [*current, *(old for old, new in _KINDS.items() if new in current)]


def upgrade_sources(positions: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Return source positions by today's source names; a position stored under such a name wins."""
    return {**{_source_name(name): at for name, at in positions.items()}, **positions}


def _source_name(name: str) -> str:
    if name.startswith("delivered to the "):
        return name.replace("the ", "", 1)
    return "event-log" if name == "diary" else name
