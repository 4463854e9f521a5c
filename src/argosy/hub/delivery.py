"""Delivery: each alert goes to a webhook or a program, in order, until it has been taken.

Alerts are records like others, so what waits for a receiver that is down is on the disk. How far each
receiver has taken them is kept too; a hub that is killed between a delivery and that note delivers once more,
with the same `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from argosy.hub.keeper import FullError, Keeper
from argosy.hub.reading import Happened

_WITHIN_S: Final = 10.0
_FIRST_PAUSE_S: Final = 1.0
_MOST_PAUSE_S: Final = 60.0

_log = logging.getLogger("argosy.hub")

Send = Callable[[bytes, str], object]  # the alert as JSON, and its key; raises OSError where it was not taken


def by_webhook(url: str) -> Send:
    """Return what posts an alert to a URL; any answer below 300 takes it."""

    def send(body: bytes, key: str) -> None:
        headers = {"content-type": "application/json", "idempotency-key": key}
        request = urllib.request.Request(url, body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=_WITHIN_S):
            pass

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
        except subprocess.SubprocessError as error:
            raise OSError(str(error)) from error

    return send


class Delivery:
    """Delivers one machine's alerts to one receiver. name: of the receiver; more: what each alert says
    besides.
    """

    def __init__(
        self, keeper: Keeper, machine: str, name: str, send: Send, more: dict[str, Any] | None = None
    ) -> None:
        self.waiting = 0
        self.failure = ""
        self._keeper = keeper
        self._machine = machine
        self.name = name
        self._send = send
        self._more = more or {}
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look for alerts that are new."""
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            self._news.clear()
            waiting = await self._keeper.read(lambda reading: reading.alerts(self._machine))
            waiting = [each for each in waiting if each.number > self._keeper.heard(self._source(each))[1]]
            self.waiting = len(waiting)
            try:
                for each in waiting:
                    await self._deliver(each)
                    pause_s = _FIRST_PAUSE_S
            except (OSError, FullError) as error:
                if not self.failure:
                    _log.warning("alerts wait for %s: %s", self.name, error)
                self.failure = str(error)
                await asyncio.sleep(pause_s)
                pause_s = min(_MOST_PAUSE_S, 2 * pause_s)
                continue
            await self._news.wait()

    async def _deliver(self, happened: Happened) -> None:
        epoch, number = happened.origin.epoch, happened.number
        body = msgspec.json.encode({**self._more, "machine": self._machine, **happened.event.body})
        await asyncio.to_thread(self._send, body, f"{epoch}-{number}")
        if self.failure:
            _log.warning("%s takes alerts again", self.name)
            self.failure = ""
        await self._keeper.keep((), (), (self._source(happened), epoch, number), soon=True)
        self.waiting -= 1

    def _source(self, happened: Happened) -> str:
        return f"delivered to {self.name} of {happened.origin.epoch}"
