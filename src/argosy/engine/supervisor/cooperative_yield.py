"""Cuts long work into pieces, between which the event loop turns."""

from __future__ import annotations

import asyncio
import time
from typing import Final

_MAX_HOLD_S: Final = 0.01


class CooperativeYield:
    """Kept by one piece of work, which asks it for a `pause` after each of its steps."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def yield_if_due(self) -> None:
        """Let the loop turn once if the work has held it for 10 ms."""
        if time.monotonic() - self._since > _MAX_HOLD_S:
            await asyncio.sleep(0)
            self._since = time.monotonic()
