"""What stands now: each agent's state and last figures, on every machine, as the records that came in tell
it.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from argosy.hub.record import Event, Figures

_OWN: Final = "loop_lag_ms"  # each agent of the library reports it with its own figures, each second
_OLD_AFTER_S: Final = 10.0
_OLD_AFTER_FIRST_S: Final = 60.0  # when nobody knows yet how often it comes
_MISSED: Final = 4
FORGET_S: Final = 300.0  # a figure that did not come in for so long is none of now


class _Heard(NamedTuple):
    """When a figure came last, on the monotonic clock, and was measured; how long after the one before."""

    at_s: float
    time_ms: int
    every_ms: int | None

    @property
    def bound_s(self) -> float:
        """The age from which on it is old."""
        if self.every_ms is None:
            return _OLD_AFTER_FIRST_S
        return max(_OLD_AFTER_S, _MISSED * self.every_ms / 1000)


class Standing(msgspec.Struct):
    """One agent now. since: epoch seconds of its last change by its machine's clock; figures by name, in a
    dict that is replaced, never changed.

    silent_since: epoch seconds of its last beat, when it is missed. figures_ms: when the newest of `figures`
    was measured; reported_ms: the newest of its own.
    """

    agent: str
    machine: str
    state: str = "unknown"
    since: float = 0.0
    reason: str = ""
    pid: int | None = None
    figures: dict[str, float] = {}
    figures_ms: int = 0
    reported_ms: int = 0
    silent_since: float | None = None
    _heard: dict[str, _Heard] = msgspec.field(default_factory=dict)

    def take(self, figures: Figures, now_s: float) -> None:
        """Take figures that arrive at `now_s` on the monotonic clock; not those of long ago."""
        if figures.time_ms < self.figures_ms - 1000 * FORGET_S:
            return  # from a hub that catches up
        is_own = _OWN in figures.names
        before = self._heard.get(figures.names[0]) if figures.names else None
        every_ms = figures.time_ms - before.time_ms if before else None
        heard = _Heard(now_s, figures.time_ms, 0 if is_own else every_ms)
        self._heard.update(dict.fromkeys(figures.names, heard))
        self.figures = {**self.figures, **dict(zip(figures.names, array("d", figures.values), strict=True))}
        self.figures_ms = max(self.figures_ms, figures.time_ms)
        if is_own:
            self.reported_ms = max(self.reported_ms, figures.time_ms)

    def old(self, now_s: float) -> dict[str, float]:
        """Return the figures that have not come for several times as long as before, each with its age."""
        ages = {name: (now_s - heard.at_s, heard.bound_s) for name, heard in self._heard.items()}
        return {name: age_s for name, (age_s, bound_s) in ages.items() if age_s > bound_s}

    def forget(self, now_s: float) -> None:
        """Let go of the figures that did not come for `FORGET_S`."""
        gone = {name for name, heard in self._heard.items() if now_s - heard.at_s >= FORGET_S}
        if gone:
            self.figures = {name: each for name, each in self.figures.items() if name not in gone}
            self._heard = {name: each for name, each in self._heard.items() if name not in gone}

    def last_seen(self) -> float | None:
        """Return when it was heard last, epoch seconds; None of one that says nothing of itself."""
        return max(self.reported_ms / 1000, self.silent_since or 0.0) or None


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
            self.of(machine, each.agent).take(each, now_s)

    def forget(self) -> None:
        """Let go of the figures that did not come in for `FORGET_S`."""
        now_s = time.monotonic()
        for standing in self.agents.values():
            standing.forget(now_s)

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
            standing.silent_since = None  # the supervisor's next answer tells whether it is
        self.tell(said(told))  # also what the supervisor's own answer has overtaken: it happened

    def correct(
        self,
        machine: str,
        agent: str,
        state: str,
        since: float,
        reason: str,
        pid: int | None,
        silent_since: float | None = None,
    ) -> None:
        """Take a supervisor's own answer, which is right whatever was missed; machine: as it is declared."""
        standing = self.of(machine, agent)
        has_changed = (standing.state, standing.pid) != (state, pid)
        has_stopped = (standing.silent_since is None) != (silent_since is None)
        standing.state, standing.reason, standing.pid = state, reason, pid
        standing.silent_since = silent_since
        if has_changed:
            standing.since = since or standing.since
        if has_changed or has_stopped:
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
        "silent_since": standing.silent_since,
    }
