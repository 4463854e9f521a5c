"""The process of a unit, from the request to fork it until nothing of it is left.

What the process means to the fleet (ready, failing, restarted) is decided by the unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.engine.inventory.process_cleanup import ProcessCleanup
from argosy.engine.process.lease import is_lease_free, new_incarnation
from argosy.engine.process.pidfd_process import PidfdProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.process.os_process import ProcessIdentity
    from argosy.engine.protocol.fork_protocol import Spawned
    from argosy.engine.unit.context import UnitContext


class ManagedProcess:
    """The successive processes of one agent; at most one at a time.

    pid: of the process, until nothing of it is left. incarnation: identifies the process, new with each
    request. is_spawn_pending: requested, and not reported yet. is_adopted: an earlier supervisor started it.
    on_exit(wait status): called when it has exited, perhaps twice. on_leftover(text): called when a leftover
    process had to be killed.
    """

    def __init__(
        self,
        name: str,
        context: UnitContext,
        on_exit: Callable[[int | None], None],
        on_leftover: Callable[[str], None],
    ) -> None:
        self.pid: int | None = None
        self.incarnation = 0
        self.is_spawn_pending = self.is_adopted = False
        self._name = name
        self._context = context
        self._on_exit, self._on_leftover = on_exit, on_leftover
        self._identity: ProcessIdentity | None = None
        self._pidfd_process: PidfdProcess | None = None
        self._cleanup: ProcessCleanup | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is known to live, and can be signalled."""
        return self._pidfd_process is not None

    @property
    def is_absent(self) -> bool:
        """Whether there is no process, none is requested, and nothing is left of the last."""
        return self.pid is None and not self.is_spawn_pending

    @property
    def identity(self) -> ProcessIdentity | None:
        """The process, until nothing of it is left; once it has exited, the identity of no process.

        Read on first use: no start needs it, and the pid cannot be reused meanwhile.
        """
        if self._identity is None and self._pidfd_process is not None:
            self._identity = self._pidfd_process.identify()
        return self._identity

    @property
    def is_cleaning_up(self) -> bool:
        """Whether leftovers remain although the process has exited."""
        return self._cleanup is not None and not self._cleanup.is_done

    # ---- start

    def begin_spawn(self) -> None:
        """Assign a new incarnation to the process about to be requested."""
        self.incarnation = new_incarnation()
        self.is_spawn_pending = True

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """Watch the process that was forked; takes ownership of the descriptor."""
        self.is_spawn_pending = self.is_adopted = False
        self._identity = None
        self._attach(spawned.pid, pidfd)

    def adopt(self, identity: ProcessIdentity, pidfd: int, incarnation: int) -> None:
        """Watch a process that an earlier supervisor started; takes ownership of the descriptor."""
        self._identity, self.incarnation = identity, incarnation
        self.is_adopted = True
        self._attach(identity.pid, pidfd)

    def adopt_leftover(self, pid: int) -> None:
        """Record leftover process `pid` of a previous run; `wait_until_gone` must follow."""
        self.pid, self.is_adopted = pid, True

    def share_process(self, other: ManagedProcess) -> None:
        """Use the process of `other`, which watches it."""
        self.pid, self._identity, self.incarnation = other.pid, other.identity, other.incarnation

    def _attach(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd_process = PidfdProcess(pid, pidfd, self._context.loop)
        self._pidfd_process.watch(self._on_exit)

    # ---- exit

    def signal(self, signal_number: int) -> None:
        """Send a signal to this process alone."""
        if self._pidfd_process is not None:
            self._pidfd_process.signal(signal_number)

    def terminate(self) -> None:
        """Ask it to exit."""
        if self._pidfd_process is not None:
            self._pidfd_process.terminate()

    def kill(self) -> None:
        """Kill its process group."""
        if self._pidfd_process is not None:
            self._pidfd_process.kill()

    def detach(self) -> None:
        """Stop watching it."""
        if self._pidfd_process is not None:
            self._identity = self.identity
            self._pidfd_process.close()
            self._pidfd_process = None

    def wait_until_gone(self, on_gone: Callable[[], None]) -> None:
        """Call `on_gone()` once nothing is left of it; at once if nothing is."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        context = self._context
        if not context.had_process(self._name) and self._is_lease_free():
            self._cleanup = None  # this supervisor never had such a process, so it left no children
            on_gone()
            return
        self._cleanup = ProcessCleanup(
            context.state_dir,
            self._name,
            context.loop,
            on_gone,
            self._on_leftover,
            context.forker_pids,
            is_adopted=self.is_adopted,
        )
        self._cleanup.poll()

    def _is_lease_free(self) -> bool:
        try:
            return is_lease_free(self._context.state_dir.lease_file(self._name))
        except OSError:
            return False  # the lease cannot be read now; the cleanup checks again

    def mark_gone(self) -> None:
        """Record that nothing is left of it."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        self.pid = self._identity = None

    def close(self) -> None:
        """Release it; it keeps running."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        self.detach()
