"""What an agent's own word of its health, and the needs it has lost, make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.agent.health import Status
from argosy.engine.state import Event

if TYPE_CHECKING:
    from collections.abc import Collection


def judge(health: str | None, lost_needs: Collection[str]) -> tuple[Event, str] | None:
    """Return the event that follows, with its reason; None where nothing does.

    health: its own word, None when it cannot speak.
    """
    if health == Status.FAILING:
        return Event.UNHEALTHY, "its own health says failing"
    if health == Status.DEGRADED:
        return Event.DEGRADED, "its own health says degraded"
    if lost_needs:
        return Event.DEGRADED, f"without `{'`, `'.join(sorted(lost_needs))}`"
    return (Event.READY, "") if health in (Status.OK, None) else None
