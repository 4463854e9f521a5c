"""Background tasks that run as long as the hub and are restarted after an unexpected error.

A failed asyncio task is silent until it is garbage-collected, and a hub holds references to its tasks. Here
each task has a name; its error is logged with a traceback and shown by `/healthz`, and the task is restarted
after a backoff that grows while it keeps failing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

FIRST_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
FAILURE_SHOWN_S: Final = 60.0  # how long an error is reported after the restart

_log = logging.getLogger("argosy.hub")


class _TaskFailure(NamedTuple):
    """Why a task ended. until_s: when it is no longer reported, monotonic seconds."""

    text: str
    until_s: float


class BackgroundTasks:
    """Tasks of one event loop. first_backoff_s: the pause before a first restart."""

    def __init__(self, first_backoff_s: float = FIRST_BACKOFF_S) -> None:
        self._first_backoff_s = first_backoff_s
        self._running: set[asyncio.Task[None]] = set()
        self._failures: dict[str, _TaskFailure] = {}

    def start(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run `run` until it returns or is cancelled; restart it if it raises. name: unique."""
        task = asyncio.ensure_future(self._run(name, run))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def failure(self) -> str:
        """Return the recent failures; empty if there are none."""
        now_s = time.monotonic()
        return "; ".join(each.text for each in self._failures.values() if now_s < each.until_s)

    async def cancel(self) -> None:
        """Cancel all tasks and wait for them."""
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
            except Exception as error:  # expected errors are caught by the task itself
                if time.monotonic() > began_s + FAILURE_SHOWN_S:
                    backoff_s = self._first_backoff_s
                text = f"{name} ended by {type(error).__name__}: {error}"
                _log.exception("%s; restarting it in %.0f s", text, backoff_s)
                self._failures[name] = _TaskFailure(text, time.monotonic() + backoff_s + FAILURE_SHOWN_S)
            await asyncio.sleep(backoff_s)
            backoff_s = min(MAX_BACKOFF_S, 2 * backoff_s)
