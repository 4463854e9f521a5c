"""The process of a unit, from the order to fork it until nothing of it is left.

What the process is to the fleet (ready, failing, restarted) is the unit's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.engine.process.lease import is_lease_free, new_incarnation
from argosy.engine.process.pidfd_process import PidfdProcess
from argosy.engine.process.process_cleanup import ProcessCleanup

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.fork.fork_protocol import Spawned
    from argosy.engine.process.os_process import ProcessIdentity
    from argosy.engine.unit.context import UnitContext


class ManagedProcess:
    """One agent's process after another; at most one at a time.

    pid: of the process, until nothing of that is left. incarnation: its number, a new one with
    each order. is_unborn: ordered, and nothing heard of it yet. is_adopted: an earlier supervisor
    started it.
    on_end(wait status): called when it has ended, perhaps twice. on_left(text): told when something
    that it left had to be killed.
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
        """Whether it lives, as far as one has heard, and takes signals from here."""
        return self._pidfd_process is not None

    @property
    def is_absent(self) -> bool:
        """Whether there is none, none is to come, and nothing is left of the last."""
        return self.pid is None and not self.is_spawn_pending

    @property
    def identity(self) -> ProcessIdentity | None:
        """The process, until nothing of that is left; of one that has ended it is that of no process.

        Found out when it is asked for first: nobody asks in a start, and the number stays its own meanwhile.
        """
        if self._identity is None and self._pidfd_process is not None:
            self._identity = self._pidfd_process.identify()
        return self._identity

    @property
    def is_cleaning_up(self) -> bool:
        """Whether something of it is left although it has ended."""
        return self._cleanup is not None and not self._cleanup.is_done

    # ---- how one comes

    def begin_spawn(self) -> None:
        """One is about to be ordered: give it a number."""
        self.incarnation = new_incarnation()
        self.is_spawn_pending = True

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """Watch the process that was forked; takes over the descriptor."""
        self.is_spawn_pending = self.is_adopted = False
        self._identity = None
        self._attach(spawned.pid, pidfd)

    def adopt(self, identity: ProcessIdentity, pidfd: int, incarnation: int) -> None:
        """Watch a process that an earlier supervisor started; takes over the descriptor."""
        self._identity, self.incarnation = identity, incarnation
        self.is_adopted = True
        self._attach(identity.pid, pidfd)

    def adopt_leftover(self, pid: int) -> None:
        """Be over but for what an earlier process has left: `pid`; to be followed by `depart`."""
        self.pid, self.is_adopted = pid, True

    def share_process(self, other: ManagedProcess) -> None:
        """Be in the process of another, who watches it."""
        self.pid, self._identity, self.incarnation = other.pid, other.identity, other.incarnation

    def _attach(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd_process = PidfdProcess(pid, pidfd, self._context.loop)
        self._pidfd_process.watch(self._on_exit)

    # ---- how it goes

    def signal(self, signal_number: int) -> None:
        """Send it, and it alone, a signal."""
        if self._pidfd_process is not None:
            self._pidfd_process.signal(signal_number)

    def terminate(self) -> None:
        """Ask it to end."""
        if self._pidfd_process is not None:
            self._pidfd_process.terminate()

    def kill(self) -> None:
        """Kill its process group."""
        if self._pidfd_process is not None:
            self._pidfd_process.kill()

    def detach(self) -> None:
        """Watch it no more."""
        if self._pidfd_process is not None:
            self._identity = self.identity
            self._pidfd_process.close()
            self._pidfd_process = None

    def wait_until_gone(self, on_gone: Callable[[], None]) -> None:
        """Call `then()` once nothing is left of it; at once where that is so."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        context = self._context
        if not context.had_process(self._name) and self._is_lease_free():
            self._cleanup = None  # none of this supervisor's children was left by one that it never had
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
            return False  # it cannot be seen now, so it is looked at again

    def mark_gone(self) -> None:
        """Nothing is left of it."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        self.pid = self._identity = None

    def close(self) -> None:
        """Let go of it; it runs on."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        self.detach()
