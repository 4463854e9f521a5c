"""Named timers of one unit: arming a timer again replaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Timers:
    """Calls back once, after a delay on the loop's monotonic clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def arm(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        """Call `callback` after `delay_s`, replacing an armed timer of this name."""
        self.cancel(name)
        self._handles[name] = self._loop.call_later(delay_s, self._expire, name, callback)

    def _expire(self, name: str, callback: Callable[[], None]) -> None:
        del self._handles[name]
        callback()

    def cancel(self, *names: str) -> None:
        """Cancel these timers."""
        for name in names:
            handle = self._handles.pop(name, None)
            if handle is not None:
                handle.cancel()

    def pop(self, name: str) -> bool:
        """Cancel a timer; return whether it was armed."""
        is_armed = name in self._handles
        self.cancel(name)
        return is_armed

    def cancel_all(self) -> None:
        """Cancel all timers."""
        self.cancel(*list(self._handles))
