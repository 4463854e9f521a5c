"""Splits long work into steps, between which the event loop runs."""

from __future__ import annotations

import asyncio
import time
from typing import Final

_MAX_HOLD_S: Final = 0.01


class CooperativeYield:
    """Used by one task, which calls `yield_if_due` after each step."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def yield_if_due(self) -> None:
        """Let the event loop run once if the task has held it for 10 ms."""
        if time.monotonic() - self._since > _MAX_HOLD_S:
            await asyncio.sleep(0)
            self._since = time.monotonic()
