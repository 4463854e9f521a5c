"""What stands now: each agent's state and last figures, on every machine, as the records that came in tell
it.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from argosy.hub.record import Event, Figures


class Standing(msgspec.Struct):
    """One agent now. since: epoch seconds of its last change by its machine's clock; figures by name, in a
    dict that is replaced, never changed; heard: when each came in last, monotonic.
    """

    agent: str
    machine: str
    state: str = "unknown"
    since: float = 0.0
    reason: str = ""
    pid: int | None = None
    figures: dict[str, float] = {}
    figures_ms: int = 0
    heard: dict[str, float] = {}


FORGET_S: Final = 300.0  # a figure that did not come in for so long is none of now


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
        now_s = time.monotonic()
        for each in figures:
            standing = self.of(machine, each.agent)
            if each.time_ms < standing.figures_ms - 1000 * FORGET_S:
                continue  # of long ago, from a hub that catches up
            numbers = zip(each.names, array("d", each.values), strict=True)
            standing.figures = {**standing.figures, **dict(numbers)}
            standing.heard.update(dict.fromkeys(each.names, now_s))
            standing.figures_ms = max(standing.figures_ms, each.time_ms)

    def forget(self) -> None:
        """Let go of the figures that did not come in for `FORGET_S`."""
        before_s = time.monotonic() - FORGET_S
        for standing in self.agents.values():
            gone = {name for name, at_s in standing.heard.items() if at_s <= before_s}
            if gone:
                standing.figures = {name: each for name, each in standing.figures.items() if name not in gone}
                standing.heard = {name: at_s for name, at_s in standing.heard.items() if name not in gone}

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
