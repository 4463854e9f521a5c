"""Cleanup after an agent's process: nothing follows, not even a restart, while leftovers of it remain.

Leftovers of an exited process and its group are a descendant that holds the lease, or a daemon that
closed the lease, left the session, and was reparented to the supervisor. Both get a second to exit; then
they are reported and killed.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from argosy.engine.inventory.leftover_processes import is_daemon, is_leftover
from argosy.engine.process import lease, os_process

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from argosy.engine.state.state_dir import StateDir

_GRACE_S = 1.0
_POLL_S = 0.01


class ProcessCleanup:
    """Calls `on_gone()` once nothing of `agent` is left, at once if nothing is.

    on_leftover(text): called whenever something had to be killed. forker_pids(): children of this process
    that belong to no agent. is_adopted: an earlier supervisor started it. The leftovers of such an agent were
    reparented to another process, so all processes are searched: first, and again when those are gone.
    """

    def __init__(
        self,
        state_dir: StateDir,
        agent: str,
        loop: asyncio.AbstractEventLoop,
        on_gone: Callable[[], None],
        on_leftover: Callable[[str], None],
        forker_pids: Callable[[], set[int]],
        *,
        is_adopted: bool = False,
    ) -> None:
        self._lease = str(state_dir.lease_file(agent))
        self._notify = str(state_dir.notify_socket(agent))
        self._loop = loop
        self._on_gone, self._on_leftover, self._forker_pids = on_gone, on_leftover, forker_pids
        self._kill_at = loop.time() + _GRACE_S
        self._timer: asyncio.TimerHandle | None = None
        self._reparented: list[int] | None = None if is_adopted else []  # None: not searched yet
        self.is_done = False

    def poll(self) -> None:
        """Call `on_gone` if nothing is left, else check again soon; also when no descriptor was free."""
        with contextlib.suppress(OSError):
            self.is_done = self._is_nothing_left()
        if self.is_done:
            self._on_gone()
        else:
            self._timer = self._loop.call_later(_POLL_S, self.poll)

    def _is_nothing_left(self) -> bool:
        """Return whether nothing is left, killing overdue leftovers; raises OSError: too few descriptors."""
        if self._reparented is None:
            self._reparented = self._find_reparented()
        candidates = {*os_process.child_pids(), *self._reparented} - self._forker_pids()
        leftovers = [pid for pid in candidates if is_leftover(pid, self._notify) and os_process.is_alive(pid)]
        if not leftovers and self._reparented:
            self._reparented = leftovers = self._find_reparented()  # they may have started others
        if not leftovers and lease.is_lease_free(self._lease):
            return True
        if self._loop.time() > self._kill_at:
            self._kill_at = self._loop.time() + _GRACE_S
            self._kill_leftovers(leftovers)
        return False

    def _find_reparented(self) -> list[int]:
        return [pid for pid in os_process.all_pids() if is_leftover(pid, self._notify) and is_daemon(pid)]

    def _kill_leftovers(self, leftovers: list[int]) -> None:
        for pid in leftovers:
            if os_process.kill_if(pid, lambda pid: is_leftover(pid, self._notify)):
                self._on_leftover(f"failing: leftover process {pid}")
        holders = os_process.kill_pids_with_open_file(self._lease)
        if holders:
            self._on_leftover(f"failing: child pid {', '.join(map(str, holders))} still holds its lease")

    def cancel(self) -> None:
        """Stop checking."""
        if self._timer is not None:
            self._timer.cancel()
