"""Quiet windows: times in which nothing is raised about some agents, because somebody works on them.

What the engine does for an order (an apply, a restart) opens a window of its own and closes it; a person
opens one for a while, on whatever hub, for all hubs of the fleet. A window that nobody closes, because the
supervisor was killed over it, ends by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from argosy.hub.store.records import HubEvent

ENGINE_SOURCE: Final = "argosy"
MAX_ENGINE_WINDOW_S: Final = (
    900.0  # of a window of the engine; an apply may take its 300 s, and be followed by another
)
MAX_USER_WINDOW_S: Final = 7 * 86400.0  # of a window of a person


class SilenceTarget(msgspec.Struct, frozen=True):
    """What a person named; nothing at all is everything."""

    agents: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for the same names, in whatever order."""
        groups = [f"group {name}" for name in sorted(self.groups)]
        machines = [f"machine {name}" for name in sorted(self.machines)]
        return "quiet " + (", ".join([*sorted(self.agents), *groups, *machines]) or "all")


class SilenceRecord(msgspec.Struct, frozen=True):
    """What a person said of what is to be quiet.

    agents: whom the names stand for, None for all. said_s, until_s: epoch seconds by the clock of the machine
    `clock` (empty: this one); until_s: None where it is not to be quiet any more.
    """

    target: SilenceTarget
    agents: tuple[str, ...] | None
    created_s: float
    until_s: float | None
    requested_by: str
    clock_machine: str = ""


class SilenceWindow(msgspec.Struct, frozen=True):
    """One window. agents: whom it covers, None for all; until_s: when it ends by itself, epoch seconds.

    by: `argosy` for what the engine does, else who asked for it; asked: by what names. clock: the machine
    whose clock `until_s` is of, empty for this one.
    """

    key: str
    agents: frozenset[str] | None
    until_s: float
    requested_by: str = ENGINE_SOURCE
    target: SilenceTarget = SilenceTarget()
    clock_machine: str = ""

    def covers(self, agent: str) -> bool:
        """Return whether nothing is to be raised about an agent."""
        return self.agents is None or agent in self.agents

    def covers_machine(self, machine: str) -> bool:
        """Return whether nothing is to be raised about a machine; an order to the engine is about agents."""
        return machine in self.target.machines or (self.agents is None and self.requested_by != ENGINE_SOURCE)


class Silences:
    """The windows that one machine's hub goes by.

    skews: how far the clocks of others are ahead of the one that `now_s` is of, seconds by machine.
    """

    def __init__(self) -> None:
        self.clock_skews: dict[str, float] = {}
        self._open: list[SilenceWindow] = []
        self._last_change_s: dict[str, float] = {}  # when a person last said something of a key

    def open(self, window: SilenceWindow) -> None:
        """Open a window; the engine's are closed as often as they are opened."""
        self._open.append(window)

    def close(self, key: str) -> bool:
        """Close the oldest window of this key, and return whether there was one."""
        for window in self._open:
            if window.key == key:
                self._open.remove(window)
                return True
        return False

    def close_engine(self) -> None:
        """Close what a supervisor that is gone has left open."""
        self._open = [window for window in self._open if window.requested_by != ENGINE_SOURCE]

    def apply(self, key: str, created_s: float, window: SilenceWindow | None) -> bool:
        """Take a person's word: a window in the place of an earlier one of the same key, or the end of it
        (None). Return whether there was one.

        Words come over several hubs, in any order: one that is older than what is known changes nothing.
        """
        if created_s < self._last_change_s.get(key, -math.inf):
            return False
        self._last_change_s = {
            each: at for each, at in self._last_change_s.items() if at > created_s - MAX_USER_WINDOW_S
        }
        self._last_change_s[key] = created_s
        was_open = self.close(key)
        if window:
            self.open(window)
        return was_open

    def local_end_s(self, window: SilenceWindow) -> float:
        """Return when a window ends, by the clock that `now_s` is of."""
        return window.until_s - self.clock_skews.get(window.clock_machine, 0.0)

    def windows(self, now_s: float) -> list[SilenceWindow]:
        """Return what is open."""
        self._open = [window for window in self._open if self.local_end_s(window) > now_s]
        return list(self._open)

    def silenced_agents(self, agents: Iterable[str], now_s: float) -> set[str]:
        """Return those about whom nothing is to be raised."""
        windows = self.windows(now_s)
        return {agent for agent in agents if any(window.covers(agent) for window in windows)}

    def silenced_machines(self, machines: Iterable[str], now_s: float) -> set[str]:
        """Return the machines about which nothing is to be raised."""
        windows = self.windows(now_s)
        return {each for each in machines if any(window.covers_machine(each) for window in windows)}


def silence_record(event: HubEvent, clock_machine: str) -> SilenceRecord | None:
    """Return what an `action` says of what is to be quiet, None for other actions."""
    body = event.body
    if body.get("do") not in ("quiet", "loud"):
        return None
    names = {each: tuple(body.get(each, ())) for each in ("agents", "groups", "machines")}
    silenced = body.get("covered", names["agents"] or None)
    return SilenceRecord(
        SilenceTarget(**names),
        None if silenced is None else tuple(silenced),
        event.time_ms / 1000,
        float(body["until"]) if body["do"] == "quiet" else None,
        str(body.get("by", "")),
        clock_machine,
    )
