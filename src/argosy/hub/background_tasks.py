"""Tasks: what a hub does all its life, begun again when it ends by an error that nobody expected.

A task of asyncio that dies is silent: its error is told when it is collected, and a hub holds its tasks as
long as it lives. Here each is named, its error is logged with where it came from and shown by `/healthz`, and
it is begun anew after a pause, which grows while it keeps ending.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

FIRST_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
FAILURE_SHOWN_S: Final = 60.0  # after which an error is over

_log = logging.getLogger("argosy.hub")


class _TaskFailure(NamedTuple):
    """Why a task ended. until_s: as long as it is told, monotonic."""

    text: str
    until_s: float


class BackgroundTasks:
    """Some tasks of one event loop. first_pause_s: before the first that ends is begun again."""

    def __init__(self, first_backoff_s: float = FIRST_BACKOFF_S) -> None:
        self._first_backoff_s = first_backoff_s
        self._running: set[asyncio.Task[None]] = set()
        self._failures: dict[str, _TaskFailure] = {}

    def start(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run until cancelled or at its end; whenever it raises, run it anew. name: unique, for people."""
        task = asyncio.ensure_future(self._run(name, run))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def failure(self) -> str:
        """Return what ended not long ago, and why; empty where all goes well."""
        now_s = time.monotonic()
        return "; ".join(each.text for each in self._failures.values() if now_s < each.until_s)

    async def cancel(self) -> None:
        """End all, and return when they have ended."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        backoff_s = self._first_backoff_s
        while True:
            began_s = time.monotonic()
            try:
                await run()
                return
            except Exception as error:  # one that is expected is caught where it is
                if time.monotonic() > began_s + FAILURE_SHOWN_S:
                    backoff_s = self._first_backoff_s
                text = f"{name} ended by {type(error).__name__}: {error}"
                _log.exception("%s; it is begun again in %.0f s", text, backoff_s)
                self._failures[name] = _TaskFailure(text, time.monotonic() + backoff_s + FAILURE_SHOWN_S)
            await asyncio.sleep(backoff_s)
            backoff_s = min(MAX_BACKOFF_S, 2 * backoff_s)
