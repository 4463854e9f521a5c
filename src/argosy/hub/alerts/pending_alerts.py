"""Alerts not yet persisted, in order, and the receivers already notified of each.

Users need alerts about a full disk too, so an alert that is not persisted within `DIRECT_DELIVERY_AFTER_S` is
delivered from memory. Each alert has an `id` that is the same in memory and on the disk. The receivers that
have it are listed in its body, so that a restarted hub does not deliver it again.
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
MAX_PENDING: Final = (
    1000  # alerts the store writer refuses, the oldest is dropped; also of `_receivers_by_id`
)

_log = logging.getLogger("argosy.hub")


class _PendingAlert(msgspec.Struct, eq=False):
    """An alert not yet persisted. since_s: monotonic seconds."""

    event: HubEvent
    since_s: float
    is_submitted: bool = False


class PendingAlerts:
    """One machine's alerts that are not persisted yet; calls `on_persisted` for each that is."""

    on_persisted: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, writer: StoreWriter) -> None:
        self.persisted_count = 0  # number of alerts persisted so far
        self._writer = writer
        self._pending: deque[_PendingAlert] = deque()
        self._receivers_by_id: dict[str, set[str]] = {}  # receivers notified from memory, by alert id

    def add(self, events: Sequence[HubEvent]) -> None:
        """Add new alerts, and submit as many as the store writer accepts."""
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
                break  # later alerts wait, to keep the order
            alert.is_submitted = True
            waiter.add_done_callback(functools.partial(self._on_done, alert))
        self._drop_oldest()

    def _on_done(self, alert: _PendingAlert, waiter: asyncio.Future[None]) -> None:
        if waiter.cancelled() or waiter.exception():
            return  # the hub stops without having written it
        self._pending.remove(alert)
        self.persisted_count += 1
        self.on_persisted()

    def _drop_oldest(self) -> None:
        unsubmitted = [alert for alert in self._pending if not alert.is_submitted]
        for alert in unsubmitted[:-MAX_PENDING]:
            self._pending.remove(alert)
            _log.error("an alert is dropped because the store is full: %s", alert.event.body.get("text", ""))

    def overdue(self, receiver: str) -> list[HubEvent]:
        """Return the overdue alerts that a receiver does not have, oldest first."""
        before_s = time.monotonic() - DIRECT_DELIVERY_AFTER_S
        return [alert.event for alert in self._undelivered(receiver) if alert.since_s <= before_s]

    def pending_count(self, receiver: str) -> int:
        """Return the number of pending alerts that a receiver does not have."""
        return len(self._undelivered(receiver))

    def _undelivered(self, receiver: str) -> list[_PendingAlert]:
        return [alert for alert in self._pending if not self.is_delivered(receiver, alert.event)]

    def is_delivered(self, receiver: str, event: HubEvent) -> bool:
        """Return whether a receiver got an alert before it was persisted."""
        receivers = self._receivers_by_id.get(event.body.get("id", ""), ())
        return receiver in receivers or receiver in event.body.get("delivered_to", ())

    def mark_delivered(self, receiver: str, event: HubEvent) -> None:
        """Record that a receiver has an alert: in memory, and in the body for a restarted hub.

        If the body was written already, only this process knows.
        """
        receivers = self._receivers_by_id.setdefault(event.body["id"], set())
        receivers.add(receiver)
        event.body["delivered_to"] = sorted(receivers)
        while len(self._receivers_by_id) > MAX_PENDING:
            del self._receivers_by_id[next(iter(self._receivers_by_id))]
