"""The word about a peer: what tells it, and what does not."""

from __future__ import annotations

from argosy.agent.health import Status
from argosy.wire.client.peer_health import PeerHealth
from argosy.wire.protocol.frame import STATES


def test_each_new_word_is_told_once() -> None:
    heard: list[str] = []
    standing = PeerHealth(heard.append)
    for code in (2, 2, 0, 3, 255, 6):
        standing.update(code)
    standing.mark_lost()
    standing.mark_lost()
    standing.update(3)
    assert heard == ["ok", "degraded", "lost", "degraded"]


def test_a_header_has_every_word_of_the_standard() -> None:
    assert STATES[1:] == tuple(status.value for status in Status)
    assert PeerHealth().state == "unknown"
