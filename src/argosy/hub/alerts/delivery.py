"""Delivery: each alert goes to a webhook or a program, in order, until it has been taken.

Alerts are records like others, so what waits for a receiver that is down is on the disk. How far each
receiver has taken them is kept too; a hub that is killed between a delivery and that note delivers once more,
with the same `Idempotency-Key`. What the disk does not take goes from memory (`unkept.py`), after all that it
has.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import sqlite3
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec

from argosy.hub.alerts.pending_alerts import PendingAlerts
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_reader import StoredEvent
from argosy.hub.store.store_writer import StoreWriter

_TIMEOUT_S: Final = 10.0
_FIRST_BACKOFF_S: Final = 1.0
_MAX_BACKOFF_S: Final = 60.0

_log = logging.getLogger("argosy.hub")

SendAlert = Callable[
    [bytes, str], object
]  # the alert as JSON, and its key; raises OSError where it was not taken


def webhook_sender(url: str) -> SendAlert:
    """Return what posts an alert to a URL; any answer below 300 takes it."""

    def send(body: bytes, key: str) -> None:
        headers = {"content-type": "application/json", "idempotency-key": key}
        try:
            request = urllib.request.Request(url, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
                pass
        except (http.client.HTTPException, ValueError) as error:  # no HTTP that answers, or no URL
            raise OSError(f"{type(error).__name__}: {error}") from error

    return send


def command_sender(command: Sequence[str], working_dir: str) -> SendAlert:
    """Return what hands an alert to a program on its standard input; exit code 0 takes it.

    folder: where it runs. The key is in its environment, as `ARGOSY_ALERT_KEY`.
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
    """Delivers one machine's alerts to one receiver. unkept: those that are not on the disk yet; name: of the
    receiver; more: what each alert says besides.
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
        self._persisted_waiting = 0  # of what is on the disk
        self._writer = writer
        self._pending = pending
        self._machine = machine
        self.name = name
        self._send = send
        self._extra_fields = extra_fields or {}
        self._wake_event = asyncio.Event()

    @property
    def waiting_count(self) -> int:
        """How many alerts the receiver has not taken yet."""
        return self._persisted_waiting + self._pending.pending_count(self.name)

    def wake(self) -> None:
        """Look for alerts that are new."""
        self._wake_event.set()

    def wake_if_overdue(self) -> None:
        """Wake it where something has waited for the disk for too long."""
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
        """Deliver what there is, and yield after each alert. Raises OSError: it was not taken."""
        persisted_count = self._pending.persisted_count
        stored_events = await self._writer.read(lambda reading: reading.alerts(self._machine))
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
                self._wake_event.set()  # what is on the disk by now comes first
                return
            await self._deliver(event, event.body["id"])
            yield

    async def _deliver(self, event: HubEvent, key: str) -> None:
        fields = {name: value for name, value in event.body.items() if name != "had"}
        body = msgspec.json.encode({**self._extra_fields, "machine": self._machine, **fields})
        await asyncio.to_thread(self._send, body, key)
        if "id" in event.body:
            self._pending.mark_delivered(self.name, event)
        if self.failure:
            _log.warning("%s takes alerts again", self.name)
            self.failure = ""

    def _source_name(self, stored_event: StoredEvent) -> str:
        return f"delivered to {self.name} of {stored_event.origin.epoch}"
