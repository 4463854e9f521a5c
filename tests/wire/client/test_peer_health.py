"""Peer health: which state changes of a peer are reported."""

from __future__ import annotations

from argosy.agent.health import Status
from argosy.wire.client.peer_health import PeerHealth
from argosy.wire.protocol.frame import STATES


def test_peer_health_reports_each_state_change_once() -> None:
    reported_states: list[str] = []
    tracked_health = PeerHealth(reported_states.append)
    for code in (2, 2, 0, 3, 255, 6):
        tracked_health.update(code)
    tracked_health.mark_lost()
    tracked_health.mark_lost()
    tracked_health.update(3)
    assert reported_states == ["ok", "degraded", "lost", "degraded"]


def test_wire_states_match_health_statuses() -> None:
    assert STATES[1:] == tuple(status.value for status in Status)
    assert PeerHealth().state == "unknown"
