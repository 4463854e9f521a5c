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

from argosy.hub.keeper import Keeper
from argosy.hub.reading import Happened
from argosy.hub.record import Event
from argosy.hub.unkept import Unkept

_WITHIN_S: Final = 10.0
_FIRST_PAUSE_S: Final = 1.0
_MOST_PAUSE_S: Final = 60.0

_log = logging.getLogger("argosy.hub")

Send = Callable[[bytes, str], object]  # the alert as JSON, and its key; raises OSError where it was not taken


def by_webhook(url: str) -> Send:
    """Return what posts an alert to a URL; any answer below 300 takes it."""

    def send(body: bytes, key: str) -> None:
        headers = {"content-type": "application/json", "idempotency-key": key}
        try:
            request = urllib.request.Request(url, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=_WITHIN_S):
                pass
        except (http.client.HTTPException, ValueError) as error:  # no HTTP that answers, or no URL
            raise OSError(f"{type(error).__name__}: {error}") from error

    return send


def by_command(words: Sequence[str], folder: str) -> Send:
    """Return what hands an alert to a program on its standard input; exit code 0 takes it.

    folder: where it runs. The key is in its environment, as `ARGOSY_ALERT_KEY`.
    """

    def send(body: bytes, key: str) -> None:
        try:
            subprocess.run(
                words,
                input=body,
                timeout=_WITHIN_S,
                check=True,
                capture_output=True,
                cwd=folder,
                env={**os.environ, "ARGOSY_ALERT_KEY": key},
            )
        except (subprocess.SubprocessError, ValueError) as error:
            raise OSError(str(error)) from error

    return send


class Delivery:
    """Delivers one machine's alerts to one receiver. unkept: those that are not on the disk yet; name: of the
    receiver; more: what each alert says besides.
    """

    def __init__(
        self,
        keeper: Keeper,
        unkept: Unkept,
        machine: str,
        name: str,
        send: Send,
        more: dict[str, Any] | None = None,
    ) -> None:
        self.failure = ""
        self._behind = 0  # of what is on the disk
        self._keeper = keeper
        self._unkept = unkept
        self._machine = machine
        self.name = name
        self._send = send
        self._more = more or {}
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many alerts the receiver has not taken yet."""
        return self._behind + self._unkept.count(self.name)

    def wake(self) -> None:
        """Look for alerts that are new."""
        self._news.set()

    def look(self) -> None:
        """Wake it where something has waited for the disk for too long."""
        if self._unkept.due(self.name):
            self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            self._news.clear()
            try:
                async for _ in self._delivered():
                    pause_s = _FIRST_PAUSE_S
            except (OSError, sqlite3.Error) as error:
                if not self.failure:
                    _log.warning("alerts wait for %s: %s", self.name, error)
                self.failure = str(error)
                await asyncio.sleep(pause_s)
                pause_s = min(_MOST_PAUSE_S, 2 * pause_s)
                continue
            await self._news.wait()

    async def _delivered(self) -> AsyncIterator[None]:
        """Deliver what there is, and yield after each alert. Raises OSError: it was not taken."""
        kept = self._unkept.kept
        happened = await self._keeper.read(lambda reading: reading.alerts(self._machine))
        waiting = [each for each in happened if each.number > self._keeper.heard(self._source(each))[1]]
        self._behind = len(waiting)
        for each in waiting:
            if not self._unkept.has_had(self.name, each.event):
                await self._deliver(
                    each.event, each.event.body.get("id", f"{each.origin.epoch}-{each.number}")
                )
            self._behind -= 1
            source = self._source(each), each.origin.epoch, each.number
            await self._keeper.keep_soon((), source)
            yield
        for event in self._unkept.due(self.name):
            if self._unkept.kept != kept:
                self._news.set()  # what is on the disk by now comes first
                return
            await self._deliver(event, event.body["id"])
            yield

    async def _deliver(self, event: Event, key: str) -> None:
        said = {name: value for name, value in event.body.items() if name != "had"}
        body = msgspec.json.encode({**self._more, "machine": self._machine, **said})
        await asyncio.to_thread(self._send, body, key)
        if "id" in event.body:
            self._unkept.note(self.name, event)
        if self.failure:
            _log.warning("%s takes alerts again", self.name)
            self.failure = ""

    def _source(self, happened: Happened) -> str:
        return f"delivered to {self.name} of {happened.origin.epoch}"
