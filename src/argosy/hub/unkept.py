"""Alerts that are not on the disk yet: in their order, and who has had them for all that.

A disk that is full is what people have a hub for, so an alert that cannot be kept within `WITHIN_S` goes to
its receivers from here. Each carries an `id` from its beginning, by which it is the same alert whether it
comes from here or from the disk; who has had it is told in its body, so that the next life of the hub knows
it too.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Event

WITHIN_S: Final = 2.0
MOST: Final = 1000  # that the keeper does not take either: the oldest goes; and of whom has had them

_log = logging.getLogger("argosy.hub")


class _Alert(msgspec.Struct, eq=False):
    """One that waits. at_s: since when, monotonic."""

    event: Event
    at_s: float
    is_handed_in: bool = False


class Unkept:
    """One machine's alerts between their raising and the disk; told of each that gets there by `on_kept`."""

    on_kept: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, keeper: Keeper) -> None:
        self.kept = 0  # how many have got to the disk
        self._keeper = keeper
        self._waiting: deque[_Alert] = deque()
        self._had: dict[str, set[str]] = {}  # by id, the receivers that had it from here

    def add(self, events: Sequence[Event]) -> None:
        """Take alerts that are new, and hand to the keeper what it takes."""
        now_s = time.monotonic()
        for event in events:
            event.body["id"] = secrets.token_hex(8)
            self._waiting.append(_Alert(event, now_s))
        for alert in self._waiting:
            if alert.is_handed_in:
                continue
            try:
                waiter = self._keeper.hand_in([alert.event], soon=True)
            except FullError:
                break  # those after it have to wait for it
            alert.is_handed_in = True
            waiter.add_done_callback(functools.partial(self._on_done, alert))
        self._bound()

    def _on_done(self, alert: _Alert, waiter: asyncio.Future[None]) -> None:
        if waiter.cancelled() or waiter.exception():
            return  # the hub ends, and its disk took nothing
        self._waiting.remove(alert)
        self.kept += 1
        self.on_kept()

    def _bound(self) -> None:
        refused = [alert for alert in self._waiting if not alert.is_handed_in]
        for alert in refused[:-MOST]:
            self._waiting.remove(alert)
            _log.error("an alert will not be kept, for want of room: %s", alert.event.body.get("text", ""))

    def due(self, name: str) -> list[Event]:
        """Return what has waited for the disk for too long and a receiver has not had, oldest first."""
        before_s = time.monotonic() - WITHIN_S
        return [alert.event for alert in self._untold(name) if alert.at_s <= before_s]

    def count(self, name: str) -> int:
        """Return how many wait here that a receiver has not had."""
        return len(self._untold(name))

    def _untold(self, name: str) -> list[_Alert]:
        return [alert for alert in self._waiting if not self.has_had(name, alert.event)]

    def has_had(self, name: str, event: Event) -> bool:
        """Return whether a receiver has had an alert before it was on the disk."""
        return name in self._had.get(event.body.get("id", ""), ()) or name in event.body.get("had", ())

    def note(self, name: str, event: Event) -> None:
        """Note that a receiver has had an alert; in its body too, for the next life of the hub. That may have
        been written already: then this life knows it.
        """
        had = self._had.setdefault(event.body["id"], set())
        had.add(name)
        event.body["had"] = sorted(had)
        while len(self._had) > MOST:
            del self._had[next(iter(self._had))]
