"""The departure of an agent: nothing follows, not even its next start, while something of it is left.

What can be left when its process and its group are gone: a descendant that holds the lease, or a
daemon that closed the lease and left the session, and has fallen to the supervisor. Both get a
second to end; then they are told and killed.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from argosy.engine import lease, process
from argosy.engine.remains import is_daemon, is_stray

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from argosy.engine.folder import Folder

_PATIENCE_S = 1.0
_LOOK_S = 0.01


class Departure:
    """Calls `then()` as soon as nothing of `agent` is left, at once where that is so already.

    on_left(text): told whenever something had to be killed. kin: this process's children that are no
    agent's, its forkers. is_adopted: an earlier supervisor started it. What such an agent left fell to
    another process long ago, so all are looked at: at first, and again when those are gone.
    """

    def __init__(
        self,
        folder: Folder,
        agent: str,
        loop: asyncio.AbstractEventLoop,
        then: Callable[[], None],
        on_left: Callable[[str], None],
        kin: Callable[[], set[int]],
        *,
        is_adopted: bool = False,
    ) -> None:
        self._lease = str(folder.lease(agent))
        self._notify = str(folder.notify(agent))
        self._loop = loop
        self._then, self._on_left, self._kin = then, on_left, kin
        self._patience = loop.time() + _PATIENCE_S
        self._timer: asyncio.TimerHandle | None = None
        self._elsewhere: list[int] | None = None if is_adopted else []  # None: to be looked for
        self.is_over = False

    def look(self) -> None:
        """Go on if nothing is left, else look again soon; also where there was no descriptor to look with."""
        with contextlib.suppress(OSError):
            self.is_over = self._is_nothing_left()
        if self.is_over:
            self._then()
        else:
            self._timer = self._loop.call_later(_LOOK_S, self.look)

    def _is_nothing_left(self) -> bool:
        """Find out, and end in time what is left; raises OSError: there are too few descriptors."""
        if self._elsewhere is None:
            self._elsewhere = self._found_elsewhere()
        candidates = {*process.children(), *self._elsewhere} - self._kin()
        strays = [pid for pid in candidates if is_stray(pid, self._notify) and process.is_alive(pid)]
        if not strays and self._elsewhere:
            self._elsewhere = strays = self._found_elsewhere()  # they may have started others
        if not strays and lease.is_free(self._lease):
            return True
        if self._loop.time() > self._patience:
            self._patience = self._loop.time() + _PATIENCE_S
            self._end(strays)
        return False

    def _found_elsewhere(self) -> list[int]:
        return [pid for pid in process.all_pids() if is_stray(pid, self._notify) and is_daemon(pid)]

    def _end(self, strays: list[int]) -> None:
        for pid in strays:
            if process.kill_if(pid, lambda pid: is_stray(pid, self._notify)):
                self._on_left(f"failing: left process {pid}")
        holders = process.kill_holders(self._lease)
        if holders:
            self._on_left(f"failing: child pid {', '.join(map(str, holders))} still holds it")

    def cancel(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
