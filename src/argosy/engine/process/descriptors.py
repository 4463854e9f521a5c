"""The file descriptors of a supervisor: how many a fleet needs, and a reserve."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from typing import TYPE_CHECKING

from argosy.fault import Fault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection
    from typing import Any

    from argosy.fleet.fleet_spec import AgentSpec

# Its own files, sockets, forkers and some clients; measured: 16 with one client.
_OWN_COUNT = 24
# A pidfd and a notify socket.
_PER_PROCESS = 2
# A pidfd, a notify socket and the socket that receives its list of members.
_PER_CELL = 3
_PER_PROBE = {"zmq": 1, "http": 1, "tcp": 1, "exec": 3}
_RESERVE_COUNT = 8
_RETRY_S = 10.0
_TOO_FEW_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE})


def raise_soft_limit() -> int:
    """Raise the soft limit of this process to its hard limit; return what it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # above what the kernel allows any process
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def descriptors_needed(agents: Collection[AgentSpec], others: int = 0) -> int:
    """Return how many descriptors their supervisor needs. others: further processes that run."""
    cells = {agent.cell for agent in agents if agent.cell is not None}
    own = sum(1 if agent.cell is not None else _PER_PROCESS for agent in agents)
    kinds = [(agent.ready.probe, agent.liveness.probe if agent.liveness else None) for agent in agents]
    probes = sum(max(_PER_PROBE.get(kind or "", 0) for kind in each) for each in kinds)
    return _OWN_COUNT + own + probes + len(cells) * _PER_CELL + others * _PER_PROCESS


def descriptor_shortage(agents: Collection[AgentSpec], others: int = 0) -> Fault | None:
    """Return the fault that this process's limit is too low to supervise these agents; None if it is not."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_needed(agents, others)
    if most == resource.RLIM_INFINITY or needed <= most:
        return None
    count = len(agents) + others
    message = (
        f"the supervisor of {count} {'agent' if count == 1 else 'agents'} needs {needed} file descriptors, "
    )
    hint = (
        f"`ulimit -Hn {needed}` as root, or `nofile` in limits.conf(5), or LimitNOFILE= in its systemd unit"
    )
    return Fault(
        "RLIMIT_NOFILE",
        "too-few-descriptors",
        f"{message}has {most}",
        f"{hint}; or start fewer agents: `--only`",
    )


class DescriptorReserve:
    """Descriptors kept in reserve, released when none are left, so that a stop can still be requested.

    on_exhausted(): called when they are released.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_exhausted: Callable[[], None]) -> None:
        self._loop = loop
        self._on_exhausted = on_exhausted
        self._reserved: list[int] = []
        self._retry_timer: asyncio.TimerHandle | None = None
        self._acquire()
        loop.set_exception_handler(self._on_exception)

    def _acquire(self) -> None:
        """Acquire them; if that fails, try again later."""
        self._retry_timer = None
        try:
            while len(self._reserved) < _RESERVE_COUNT:
                self._reserved.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self._release()
            self._retry_timer = self._loop.call_later(_RETRY_S, self._acquire)

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an uncaught exception of the loop; a connection that could not be accepted is retried."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _TOO_FEW_ERRNOS and self._reserved:
            self._release()
            self._retry_timer = self._loop.call_later(_RETRY_S, self._acquire)
            self._on_exhausted()
        loop.default_exception_handler(context)

    def _release(self) -> None:
        while self._reserved:
            os.close(self._reserved.pop())

    def close(self) -> None:
        """Release them."""
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._release()
