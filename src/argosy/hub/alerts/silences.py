"""Silences: time windows in which no alert is raised about some agents.

The engine's operations (an apply, a restart) open and close windows of their own. A user opens one for a
limited time on any hub, and it holds on all hubs of the fleet. A window that is never closed, because the
supervisor was killed meanwhile, expires.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from argosy.hub.store.records import HubEvent

ENGINE_SOURCE: Final = "argosy"
MAX_ENGINE_WINDOW_S: Final = 900.0  # an apply may take 300 s and be followed by another
MAX_USER_WINDOW_S: Final = 7 * 86400.0


class SilenceTarget(msgspec.Struct, frozen=True):
    """The names that a silence covers; without any it covers everything."""

    agents: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key of a silence, independent of the order of the names."""
        groups = [f"group {name}" for name in sorted(self.groups)]
        machines = [f"machine {name}" for name in sorted(self.machines)]
        return "silence " + (", ".join([*sorted(self.agents), *groups, *machines]) or "all")


class SilenceRecord(msgspec.Struct, frozen=True):
    """A user's request to open or end a silence.

    agents: the agents that `target` selects, None for all. created_s, until_s: epoch seconds by the clock of
    `clock_machine` (empty: this machine); until_s is None to end the silence.
    """

    target: SilenceTarget
    agents: tuple[str, ...] | None
    created_s: float
    until_s: float | None
    requested_by: str
    clock_machine: str = ""


class SilenceWindow(msgspec.Struct, frozen=True):
    """One window. agents: those it covers, None for all. until_s: when it expires, epoch seconds.

    requested_by: `argosy` for the engine, else the user's address. target: the names requested.
    clock_machine: the machine whose clock `until_s` is measured by, empty for this one.
    """

    key: str
    agents: frozenset[str] | None
    until_s: float
    requested_by: str = ENGINE_SOURCE
    target: SilenceTarget = SilenceTarget()
    clock_machine: str = ""

    def covers(self, agent: str) -> bool:
        """Return whether the window silences an agent."""
        return self.agents is None or agent in self.agents

    def covers_machine(self, machine: str) -> bool:
        """Return whether the window silences a machine; the engine's windows cover only agents."""
        return machine in self.target.machines or (self.agents is None and self.requested_by != ENGINE_SOURCE)


class Silences:
    """The windows in force on one machine's hub.

    clock_skews: how far other machines' clocks are ahead of the clock of `now_s`, in seconds by machine.
    """

    def __init__(self) -> None:
        self.clock_skews: dict[str, float] = {}
        self._open: list[SilenceWindow] = []
        self._last_change_s: dict[str, float] = {}  # time of the last user request, by key

    def open(self, window: SilenceWindow) -> None:
        """Open a window; several may have the same key."""
        self._open.append(window)

    def close(self, key: str) -> bool:
        """Close the oldest window with this key, and return whether there was one."""
        for window in self._open:
            if window.key == key:
                self._open.remove(window)
                return True
        return False

    def close_engine(self) -> None:
        """Close the engine's windows, left open by a supervisor that died."""
        self._open = [window for window in self._open if window.requested_by != ENGINE_SOURCE]

    def apply(self, key: str, created_s: float, window: SilenceWindow | None) -> bool:
        """Replace the window of a key by `window`, or end it (None); return whether there was one.

        Requests arrive from several hubs in any order: one older than the last applied changes nothing.
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
        """Return when a window ends, by the clock of `now_s`."""
        return window.until_s - self.clock_skews.get(window.clock_machine, 0.0)

    def windows(self, now_s: float) -> list[SilenceWindow]:
        """Return the open windows."""
        self._open = [window for window in self._open if self.local_end_s(window) > now_s]
        return list(self._open)

    def silenced_agents(self, agents: Iterable[str], now_s: float) -> set[str]:
        """Return which of `agents` are silenced."""
        windows = self.windows(now_s)
        return {agent for agent in agents if any(window.covers(agent) for window in windows)}

    def silenced_machines(self, machines: Iterable[str], now_s: float) -> set[str]:
        """Return which of `machines` are silenced."""
        windows = self.windows(now_s)
        return {each for each in machines if any(window.covers_machine(each) for window in windows)}


def silence_record(event: HubEvent, clock_machine: str) -> SilenceRecord | None:
    """Return the request that an `action` event records, None for other actions."""
    body = event.body
    if body.get("action") not in ("silence", "unsilence"):
        return None
    names = {each: tuple(body.get(each, ())) for each in ("agents", "groups", "machines")}
    silenced = body.get("silenced_agents", names["agents"] or None)
    return SilenceRecord(
        SilenceTarget(**names),
        None if silenced is None else tuple(silenced),
        event.time_ms / 1000,
        float(body["until"]) if body["action"] == "silence" else None,
        str(body.get("by", "")),
        clock_machine,
    )
