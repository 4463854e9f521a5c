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

from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

DIRECT_DELIVERY_AFTER_S: Final = 2.0
MAX_PENDING: Final = 1000  # that the keeper does not take either: the oldest goes; and of whom has had them

_log = logging.getLogger("argosy.hub")


class _PendingAlert(msgspec.Struct, eq=False):
    """One that waits. at_s: since when, monotonic."""

    event: HubEvent
    since_s: float
    is_submitted: bool = False


class PendingAlerts:
    """One machine's alerts between their raising and the disk; told of each that gets there by `on_kept`."""

    on_persisted: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, writer: StoreWriter) -> None:
        self.persisted_count = 0  # how many have got to the disk
        self._writer = writer
        self._pending: deque[_PendingAlert] = deque()
        self._receivers_by_id: dict[str, set[str]] = {}  # by id, the receivers that had it from here

    def add(self, events: Sequence[HubEvent]) -> None:
        """Take alerts that are new, and hand to the keeper what it takes."""
        now_s = time.monotonic()
        for event in events:
            event.body["id"] = secrets.token_hex(8)
            self._pending.append(_PendingAlert(event, now_s))
        for alert in self._pending:
            if alert.is_submitted:
                continue
            try:
                waiter = self._writer.submit([alert.event], is_urgent=True)
            except StoreFullError:
                break  # those after it have to wait for it
            alert.is_submitted = True
            waiter.add_done_callback(functools.partial(self._on_done, alert))
        self._drop_oldest()

    def _on_done(self, alert: _PendingAlert, waiter: asyncio.Future[None]) -> None:
        if waiter.cancelled() or waiter.exception():
            return  # the hub ends, and its disk took nothing
        self._pending.remove(alert)
        self.persisted_count += 1
        self.on_persisted()

    def _drop_oldest(self) -> None:
        unsubmitted = [alert for alert in self._pending if not alert.is_submitted]
        for alert in unsubmitted[:-MAX_PENDING]:
            self._pending.remove(alert)
            _log.error("an alert will not be kept, for want of room: %s", alert.event.body.get("text", ""))

    def overdue(self, receiver: str) -> list[HubEvent]:
        """Return what has waited for the disk for too long and a receiver has not had, oldest first."""
        before_s = time.monotonic() - DIRECT_DELIVERY_AFTER_S
        return [alert.event for alert in self._undelivered(receiver) if alert.since_s <= before_s]

    def pending_count(self, receiver: str) -> int:
        """Return how many wait here that a receiver has not had."""
        return len(self._undelivered(receiver))

    def _undelivered(self, receiver: str) -> list[_PendingAlert]:
        return [alert for alert in self._pending if not self.is_delivered(receiver, alert.event)]

    def is_delivered(self, receiver: str, event: HubEvent) -> bool:
        """Return whether a receiver has had an alert before it was on the disk."""
        return receiver in self._receivers_by_id.get(
            event.body.get("id", ""), ()
        ) or receiver in event.body.get("had", ())

    def mark_delivered(self, receiver: str, event: HubEvent) -> None:
        """Note that a receiver has had an alert; in its body too, for the next life of the hub. That may have
        been written already: then this life knows it.
        """
        receivers = self._receivers_by_id.setdefault(event.body["id"], set())
        receivers.add(receiver)
        event.body["had"] = sorted(receivers)
        while len(self._receivers_by_id) > MAX_PENDING:
            del self._receivers_by_id[next(iter(self._receivers_by_id))]
