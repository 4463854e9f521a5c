"""Delivers each alert to a webhook or a command, in order, and retries until it is accepted.

Alerts are stored records, so those waiting for an unavailable receiver are on the disk, and so is the
position of each receiver. A hub killed between a delivery and the update of that position delivers once more,
with the same `Idempotency-Key`.

Users need alerts about a full disk too, so an alert that is not persisted within `DIRECT_DELIVERY_AFTER_S` is
delivered from memory, after all that are on the disk. Each alert has an `id` that is the same in memory and
on the disk. The receivers that have it are listed in its body, so that a restarted hub does not deliver it
again.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import logging
import os
import secrets
import sqlite3
import subprocess
import time
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec

from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_reader import StoredEvent
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

DIRECT_DELIVERY_AFTER_S: Final = 2.0
MAX_PENDING: Final = 1000  # alerts the store writer refuses, the oldest is dropped; also `_receivers_by_id`

_log = logging.getLogger("argosy.hub")


class _PendingAlert(msgspec.Struct, eq=False):
    """An alert not yet persisted. since_s: monotonic seconds."""

    event: HubEvent
    since_s: float
    is_submitted: bool = False


class PendingAlerts:
    """One machine's alerts that are not persisted yet, in order, and the receivers that have each.

    on_persisted: called for each that is persisted.
    """

    def __init__(self, writer: StoreWriter, on_persisted: Callable[[], object]) -> None:
        self.persisted_count = 0  # number of alerts persisted so far
        self._on_persisted = on_persisted
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
        self._on_persisted()

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


_TIMEOUT_S: Final = 10.0
_FIRST_BACKOFF_S: Final = 1.0
_MAX_BACKOFF_S: Final = 60.0

_log = logging.getLogger("argosy.hub")

# Sends an alert as JSON with its idempotency key; raises OSError if it is not accepted.
SendAlert = Callable[[bytes, str], object]


def webhook_sender(url: str) -> SendAlert:
    """Return a sender that posts to a URL; a status below 300 means accepted."""

    def send(body: bytes, key: str) -> None:
        headers = {"content-type": "application/json", "idempotency-key": key}
        try:
            request = urllib.request.Request(url, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
                pass
        except (http.client.HTTPException, ValueError) as error:  # not an HTTP server, or an invalid URL
            raise OSError(f"{type(error).__name__}: {error}") from error

    return send


def command_sender(command: Sequence[str], working_dir: str) -> SendAlert:
    """Return a sender that runs a command with the alert on stdin; exit code 0 means accepted.

    The idempotency key is in the environment variable `ARGOSY_ALERT_KEY`.
    """

    def send(body: bytes, key: str) -> None:
        try:
            subprocess.run(
                command,
                input=body,
                timeout=_TIMEOUT_S,
                check=True,
                capture_output=True,
                cwd=working_dir,
                env={**os.environ, "ARGOSY_ALERT_KEY": key},
            )
        except (subprocess.SubprocessError, ValueError) as error:
            raise OSError(str(error)) from error

    return send


class AlertDelivery:
    """Delivers one machine's alerts to one receiver.

    pending: the alerts not persisted yet. name: of the receiver. extra_fields: added to each alert.
    """

    def __init__(
        self,
        writer: StoreWriter,
        pending: PendingAlerts,
        machine: str,
        name: str,
        send: SendAlert,
        extra_fields: dict[str, Any] | None = None,
    ) -> None:
        self.failure = ""
        self._persisted_waiting = 0  # persisted alerts not delivered yet
        self._writer = writer
        self._pending = pending
        self._machine = machine
        self.name = name
        self._send = send
        self._extra_fields = extra_fields or {}
        self._wake_event = asyncio.Event()

    @property
    def waiting_count(self) -> int:
        """The number of alerts not delivered yet."""
        return self._persisted_waiting + self._pending.pending_count(self.name)

    def wake(self) -> None:
        """Check for new alerts."""
        self._wake_event.set()

    def wake_if_overdue(self) -> None:
        """Check for alerts if one has been pending for too long."""
        if self._pending.overdue(self.name):
            self._wake_event.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            self._wake_event.clear()
            try:
                async for _ in self._deliver_waiting():
                    backoff_s = _FIRST_BACKOFF_S
            except (OSError, sqlite3.Error) as error:
                if not self.failure:
                    _log.warning("alerts wait for %s: %s", self.name, error)
                self.failure = str(error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(_MAX_BACKOFF_S, 2 * backoff_s)
                continue
            await self._wake_event.wait()

    async def _deliver_waiting(self) -> AsyncIterator[None]:
        """Deliver the waiting alerts and yield after each. Raises OSError: one was not accepted."""
        persisted_count = self._pending.persisted_count
        stored_events = await self._writer.read(lambda reader: reader.alerts(self._machine))
        waiting = [
            each
            for each in stored_events
            if each.number > self._writer.source_position(self._source_name(each))[1]
        ]
        self._persisted_waiting = len(waiting)
        for each in waiting:
            if not self._pending.is_delivered(self.name, each.event):
                await self._deliver(
                    each.event, each.event.body.get("id", f"{each.origin.epoch}-{each.number}")
                )
            self._persisted_waiting -= 1
            source = self._source_name(each), each.origin.epoch, each.number
            await self._writer.append_soon((), source)
            yield
        for event in self._pending.overdue(self.name):
            if self._pending.persisted_count != persisted_count:
                self._wake_event.set()  # the alerts persisted meanwhile come first
                return
            await self._deliver(event, event.body["id"])
            yield

    async def _deliver(self, event: HubEvent, key: str) -> None:
        fields = {name: value for name, value in event.body.items() if name != "delivered_to"}
        body = msgspec.json.encode({**self._extra_fields, "machine": self._machine, **fields})
        await asyncio.to_thread(self._send, body, key)
        if "id" in event.body:
            self._pending.mark_delivered(self.name, event)
        if self.failure:
            _log.warning("%s accepts alerts again", self.name)
            self.failure = ""

    def _source_name(self, stored_event: StoredEvent) -> str:
        return f"delivered to {self.name} of {stored_event.origin.epoch}"
