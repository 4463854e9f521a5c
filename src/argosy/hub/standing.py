"""What stands now: each agent's state and last figures, on every machine, as the records that came in tell
it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from argosy.hub.record import Event, Figures


class Standing(msgspec.Struct):
    """One agent now. since: epoch seconds of its last change by its machine's clock; figures by name."""

    agent: str
    machine: str
    state: str = "unknown"
    since: float = 0.0
    reason: str = ""
    pid: int | None = None
    figures: dict[str, float] = {}
    figures_ms: int = 0


class Standings:
    """All agents that records have told of; `tell` gets each change of a state."""

    tell: Callable[[dict[str, Any]], object] = staticmethod(lambda _: None)

    KINDS: Final = frozenset(("state",))  # of events that tell something of an agent's standing

    def __init__(self) -> None:
        self.agents: dict[tuple[str, str], Standing] = {}

    def of(self, machine: str, agent: str) -> Standing:
        """Return an agent's standing, a new one for one that is not known."""
        key = machine, agent
        found = self.agents.get(key)
        if found is None:
            found = self.agents[key] = Standing(agent, machine)
        return found

    def hear(self, machine: str, events: Iterable[Event], figures: Iterable[Figures] = ()) -> None:
        """Take what a machine said, in its order; what is older than what is known is told, no more."""
        for event in events:
            if event.kind in self.KINDS and event.subject:
                self._on_state(machine, event)
        for each in figures:
            standing = self.of(machine, each.agent)
            numbers = zip(each.names, array("d", each.values), strict=True)
            standing.figures = {**standing.figures, **dict(numbers)}
            standing.figures_ms = max(standing.figures_ms, each.time_ms)

    def _on_state(self, machine: str, event: Event) -> None:
        standing = self.of(machine, event.subject)
        told = Standing(
            event.subject,
            machine,
            str(event.body.get("state", "")),
            event.time_ms / 1000,
            str(event.body.get("text", "")),
            event.body.get("pid"),
        )
        if told.since >= standing.since:
            standing.state, standing.since = told.state, told.since
            standing.reason, standing.pid = told.reason, told.pid
        self.tell(said(told))  # also what the supervisor's own answer has overtaken: it happened

    def correct(
        self, machine: str, agent: str, state: str, since: float, reason: str, pid: int | None
    ) -> None:
        """Take a supervisor's own answer, which is right whatever was missed; machine: as it is declared."""
        standing = self.of(machine, agent)
        has_changed = (standing.state, standing.pid) != (state, pid)
        standing.state, standing.reason, standing.pid = state, reason, pid
        if has_changed:
            standing.since = since or standing.since
            self.tell(said(standing))

    def all(self) -> list[dict[str, Any]]:
        """Return all that stands, as it is told."""
        return [said(each) for each in self.agents.values()]


def said(standing: Standing) -> dict[str, Any]:
    """Return a standing as it is told."""
    return {
        "agent": standing.agent,
        "machine": standing.machine,
        "state": standing.state,
        "since": standing.since,
        "reason": standing.reason,
        "pid": standing.pid,
    }
