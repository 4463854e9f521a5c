"""Legacy names: records of earlier versions are read under their current names."""

from __future__ import annotations

from pathlib import Path

from argosy.hub.store.legacy_names import upgrade_event, upgrade_sources
from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_reader import StoreReader


def test_store_reader_translates_old_event_kinds_fields_and_sources(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "hub.db", "pc1")
    store.append(
        [
            HubEvent(1, "blind", "", {"machine": "pc2"}),
            HubEvent(2, "action", "A", {"do": "quiet", "covered": ["A"], "outcome": "begun"}),
            HubEvent(3, "recovery", "A", {"do": "restart", "of": 3, "outcome": "budget spent"}),
            HubEvent(4, "alert", "A", {"about": "trouble", "figure": "", "had": ["the webhook"]}),
            HubEvent(5, "order", "A", {"pid": 7}),
        ],
        sources={"diary": ("1.0", 7), "delivered to the webhook of abc": ("abc", 4)},
    )
    reader = StoreReader(tmp_path / "hub.db")
    assert [(each.event.kind, each.event.body) for each in reader.events()[::-1]] == [
        ("hub-unreachable", {"machine": "pc2"}),
        ("action", {"action": "silence", "silenced_agents": ["A"], "outcome": "started"}),
        ("recovery", {"action": "restart", "max_attempts": 3, "outcome": "exhausted"}),
        ("alert", {"category": "unhealthy", "metric": "", "delivered_to": ["webhook"]}),
        ("spawn-requested", {"pid": 7}),
    ]
    for kind, number in (("blind", 1), ("hub-unreachable", 1), ("order", 5), ("spawn-requested", 5)):
        assert [each.number for each in reader.events_of_kinds([kind], 0, 10)] == [number]
    positions = reader.source_positions()
    assert (positions["event-log"], positions["delivered to webhook of abc"]) == (("1.0", 7), ("abc", 4))
    reader.close()
    store.close()


def test_upgrade_sources_prefers_position_under_current_name() -> None:
    assert upgrade_sources({"diary": ("1.0", 7), "event-log": ("1.0", 9)})["event-log"] == ("1.0", 9)


def test_upgrade_event_leaves_current_event_unchanged() -> None:
    event = HubEvent(1, "alert", "A", {"category": "threshold", "delivered_to": ["command"]})
    assert upgrade_event(event) == event
