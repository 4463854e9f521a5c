"""What its needs, and its own word of its health, make of an agent: the event that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.agent.health import Status
from argosy.engine.state import Event, State

if TYPE_CHECKING:
    from collections.abc import Collection

    from argosy.engine.surroundings import Needs


def judge_needs(needs: Needs, state: State) -> tuple[Event, str] | None:
    """Return whether an agent in `state` may start now, or never, or may hope again."""
    if needs.failed:
        why = "; ".join(f"`{name}`, which {reason}" for name, reason in needs.failed.items())
        return Event.NEED_FAILED, f"needs {why}"
    if not needs.waiting_on:
        return Event.NEEDS_READY, ""
    return (Event.NEED_REVIVED, "") if state is State.BLOCKED else None


def judge_health(health: str | None, lost_needs: Collection[str]) -> tuple[Event, str] | None:
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
