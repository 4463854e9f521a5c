"""How a unit comes to its process: a process of its own here, a share of its cell's process in `cells`.

What the process means to the fleet (ready, failing, restarted) is decided by the unit.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, ClassVar, Protocol

from argosy.engine.inventory.process_cleanup import ProcessCleanup
from argosy.engine.logs.log_file import LogMark, open_log
from argosy.engine.process import lease, os_process
from argosy.engine.process.pidfd_process import PidfdProcess
from argosy.engine.unit.restart_policy import stop_grace_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from argosy.engine.admission.memory_sampler import ProcessMemory
    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.process.os_process import ProcessIdentity
    from argosy.engine.protocol.fork_protocol import Spawned
    from argosy.engine.unit.services import UnitServices


class ProcessOwner(Protocol):
    """The unit of a process, as the process sees it.

    log_start: the size of the log when the process was started. exit_cause: as in `ProcessExit`.
    was_killed: it was to be killed, not to be asked to exit.
    """

    name: str
    spec: ProcessSpec
    log_start: int
    version: str
    exit_cause: str
    was_killed: bool

    def save_state(self) -> None: ...
    def adopt(self) -> None: ...
    def on_started(self) -> None: ...
    def on_start_failed(self, reason: str) -> None: ...
    def stop_for_restart(self) -> None: ...
    def end_frozen(self, reason: str) -> None: ...
    def kill_after(self, grace_s: float) -> None: ...
    def on_never_started(self) -> None: ...
    def on_exit(self, status: int | None) -> None: ...
    def on_leftover(self, text: str) -> None: ...


class ProcessBackend(Protocol):
    """The successive processes of one unit; at most one at a time.

    is_shared: the process is that of a cell, and the unit reports the end of its part itself.
    log: its output. pid: of the process, until nothing of it is left. incarnation: identifies the process,
    0 before the first. is_adopted: an earlier supervisor started it. memory_sampled_at: loop time.
    """

    is_shared: ClassVar[bool]

    @property
    def log(self) -> Path: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def is_adopted(self) -> bool: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def memory(self) -> ProcessMemory | None: ...
    @property
    def memory_sampled_at(self) -> float: ...

    def reset_restart_limit(self) -> None:
        """A user has requested a start: forget the restarts of a process that others share."""

    def adopt_survivor(self) -> bool:
        """Adopt the process that an earlier supervisor started, if it lives; return whether it does.

        Raises OSError: that cannot be read.
        """

    def age_s(self) -> float:
        """Return how long an adopted process has run; 0 if it is not known."""

    def adopt_leftovers(self, pids: Sequence[int]) -> None:
        """Record leftovers of a process of an earlier supervisor; `clear_leftovers` must follow."""

    def clear_leftovers(self, on_gone: Callable[[], None]) -> bool:
        """Call `on_gone()` once nothing is left of the last process; return whether it was called at once."""

    def request(self) -> None:
        """Request a process; `on_started` or `on_start_failed` of the owner follows. Raises OSError."""

    def restart(self) -> None:
        """Have the running process replaced by another one."""

    def signal(self, signal_number: int) -> None:
        """Send the process a signal."""

    def terminate(self) -> None:
        """Ask the process to exit."""

    def kill(self) -> None:
        """Kill it."""

    def on_frozen(self, reason: str) -> None:
        """End it: the unit was found frozen."""

    def on_finished(self) -> None:
        """The unit reports that its part of the process has ended."""

    def mark_gone(self) -> None:
        """Record that nothing is left of it."""

    def close(self) -> None:
        """Release it; it keeps running."""


class OwnProcess:
    """A process that the forker or a zygote forks for this unit alone; the lease names it."""

    is_shared: ClassVar = False

    def __init__(self, owner: ProcessOwner, services: UnitServices) -> None:
        self.name = owner.name
        self.log = services.state_dir.log_file(owner.name)
        self.pid: int | None = None
        self.incarnation = 0
        self.is_adopted = False  # an earlier supervisor started it
        self.memory: ProcessMemory | None = None
        self.memory_sampled_at = 0.0
        self._owner = owner
        self._services = services
        self._lease = services.state_dir.lease_file(owner.name)
        self._is_requested = False  # and not reported yet
        self._had_process = False
        self._identity: ProcessIdentity | None = None
        self._pidfd_process: PidfdProcess | None = None
        self._cleanup: ProcessCleanup | None = None

    @property
    def spec(self) -> ProcessSpec:
        """The spec of its unit."""
        return self._owner.spec

    @property
    def identity(self) -> ProcessIdentity | None:
        """The process, until nothing of it is left; once it has exited, the identity of no process.

        Read on first use: no start needs it, and the pid cannot be reused meanwhile.
        """
        if self._identity is None and self._pidfd_process is not None:
            self._identity = self._pidfd_process.identify()
        return self._identity

    def reset_restart_limit(self) -> None:
        """Do nothing: the unit counts the restarts."""

    # ---- start

    def adopt_survivor(self) -> bool:
        """Adopt the process recorded in the lease if it lives; return whether it does.

        The record decides, not the lock: an agent may have closed every descriptor. Raises OSError.
        """
        record = lease.read_record(self._lease)
        if record is None or record.boot_id != self._services.boot_id:
            return False
        pidfd = os_process.open_process(record.identity)
        if pidfd is None:
            return False
        self._services.event_log.append("adopted", agent=self.name, pid=record.identity.pid)
        self._had_process = self.is_adopted = True
        self._identity, self.incarnation = record.identity, record.incarnation
        self._attach(record.identity.pid, pidfd)
        self._owner.adopt()
        with contextlib.suppress(OSError):  # the directory is being deleted
            log_mark = LogMark(lease.written_at(self._lease), self._owner.log_start, record.identity.pid)
            self._services.log_keeper.expect_adopted_output(self.log, log_mark)
        return True

    def age_s(self) -> float:
        """Return how long an adopted process has run."""
        return lease.lease_age_s(self._lease)

    def adopt_leftovers(self, pids: Sequence[int]) -> None:
        """Record leftovers of a process of an earlier supervisor; `clear_leftovers` must follow."""
        self.pid = pids[0]
        self._had_process = self.is_adopted = True

    def clear_leftovers(self, on_gone: Callable[[], None]) -> bool:
        """Call `on_gone()` once nothing is left of the last process; return whether it was called at once."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        if not self._had_process and self._is_lease_free():
            on_gone()  # this supervisor never had such a process, so it left no children
            return True
        cleanup = self._cleanup = ProcessCleanup(
            self._services.state_dir,
            self.name,
            self._services.loop,
            on_gone,
            self._owner.on_leftover,
            self._services.launcher.forker_pids,
            is_adopted=self.is_adopted,
        )
        cleanup.poll()
        return cleanup.is_done

    def _is_lease_free(self) -> bool:
        try:
            return lease.is_lease_free(self._lease)
        except OSError:
            return False  # the lease cannot be read now; the cleanup checks again

    def request(self) -> None:
        """Have the process forked, with a new incarnation. Raises OSError: its log cannot be opened."""
        output = open_log(self.log)
        self._owner.log_start = os.fstat(output).st_size
        self._owner.version = self._services.tree_version()
        self.incarnation = lease.new_incarnation()
        self._is_requested = self._had_process = True
        self._owner.save_state()
        self._services.launcher.spawn(self, output)

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """Watch the process that was forked; takes ownership of the descriptor."""
        log_mark = LogMark(time.time(), self._owner.log_start, spawned.pid)
        self._services.log_keeper.expect_process_output(self.log, log_mark)
        self._is_requested = self.is_adopted = False
        self._identity = None
        self._attach(spawned.pid, pidfd)
        self._owner.on_started()

    def on_spawn_failed(self, reason: str) -> None:
        """Handle a request that was not carried out; without a reason it can be repeated."""
        self._is_requested = False
        self._owner.on_start_failed(reason)

    def _attach(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd_process = PidfdProcess(pid, pidfd, self._services.loop)
        self._pidfd_process.watch(self.on_exit)

    # ---- exit

    def restart(self) -> None:
        """Stop the process; the unit starts another one."""
        self._owner.stop_for_restart()

    def signal(self, signal_number: int) -> None:
        """Send a signal to this process alone."""
        if self._pidfd_process is not None:
            self._pidfd_process.signal(signal_number)

    def terminate(self) -> None:
        """Ask it to exit; while it is requested, or leftovers are being ended, that calls back first."""
        if self._pidfd_process is not None:
            if self._owner.was_killed:
                self._pidfd_process.kill()
            else:
                self._pidfd_process.terminate()
            self._owner.kill_after(stop_grace_s(self._owner.spec, self._owner.exit_cause))
        elif self.pid is None and not self._is_requested:
            self._owner.on_never_started()

    def kill(self) -> None:
        """Kill its process group."""
        if self._pidfd_process is not None:
            self._pidfd_process.kill()

    def on_frozen(self, reason: str) -> None:
        """End it: the unit was found frozen."""
        self._owner.end_frozen(reason)

    def on_finished(self) -> None:
        """Do nothing: the exit of the process counts."""

    def on_exit(self, status: int | None) -> None:
        """Stop watching the process, which has exited."""
        if self._pidfd_process is not None:  # else reported twice, by a forker that exited and by the kernel
            self._detach()
            self._owner.on_exit(status)

    def _detach(self) -> None:
        if self._pidfd_process is not None:
            self._identity = self.identity
            self._pidfd_process.close()
            self._pidfd_process = None

    def mark_gone(self) -> None:
        """Record that nothing is left of it."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        self.pid = self._identity = self.memory = None
        self._services.launcher.remove_control_group(self.name)

    def close(self) -> None:
        """Release it; it keeps running."""
        if self._cleanup is not None:
            self._cleanup.cancel()
        self._detach()
