"""Starts processes through the forker and the zygotes, and receives their exits.

A forker or zygote that dies, is stopped, or no longer answers, is killed and replaced. Its children
are reparented to the supervisor, a subreaper, and keep running. Its unanswered requests are repeated:
the lease of each agent prevents a second process from running.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING, Protocol

from argosy.engine.fork.forker_client import ForkerClient, kill_stale_forkers, record_forkers
from argosy.engine.fork.zygote_pool import ZygotePool
from argosy.engine.logs.log_file import open_log
from argosy.engine.plan.process_plan import helper_environment, inherited_environment
from argosy.engine.process import os_process
from argosy.engine.process.cgroup import MEMORY, ControlGroups, find_delegated
from argosy.engine.process.helper_process import HelperRunner
from argosy.engine.protocol.fork_protocol import Exited, SpawnFailed, SpawnRequest

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.protocol.fork_protocol import SpawnDeclined, Spawned, ZygoteReady
    from argosy.engine.state.event_log import EventLog
    from argosy.engine.state.state_dir import StateDir

_SPAWN_TIMEOUT_S = 5.0
_FORKER_RESTART_DELAY_S = 0.5


class SpawnedProcess(Protocol):
    """The process of a unit, as the launcher sees it."""

    name: str
    incarnation: int
    pid: int | None

    @property
    def spec(self) -> ProcessSpec: ...

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """It was forked."""

    def on_spawn_failed(self, reason: str) -> None:
        """It could not be forked; without a reason it is requested again."""

    def on_exit(self, status: int | None) -> None:
        """It has exited."""


class StartableAgent(Protocol):
    """An agent that may be about to start."""

    desired_up: bool

    @property
    def pid(self) -> int | None: ...


class LauncherHost(Protocol):
    """What the launcher uses of the set of all units."""

    loop: asyncio.AbstractEventLoop
    state_dir: StateDir
    event_log: EventLog
    environ: dict[str, str]
    generation: int
    open_files: int

    @property
    def units(self) -> Mapping[str, StartableAgent]: ...

    def processes(self) -> Iterable[SpawnedProcess]:
        """Return the processes of the units."""


class ProcessLauncher:
    """Starts the processes of one manager's units, and helper processes."""

    def __init__(self, unit_manager: LauncherHost) -> None:
        self._unit_manager = unit_manager
        self._loop = unit_manager.loop
        self._pending_spawns: dict[int, SpawnedProcess] = {}
        self._helpers = HelperRunner(unit_manager.loop, self._send_to_forker)
        self._zygote_pool = ZygotePool(unit_manager.loop, self)
        self._forker: ForkerClient | None = None
        self._forker_since = 0.0
        self._is_closing = False
        self._base_environment: tuple[dict[str, str], dict[str, str]] = ({}, {})
        root = find_delegated()
        self._control_groups = (
            ControlGroups(root, unit_manager.state_dir.path.name) if root is not None else None
        )
        self._is_forker_delayed = False
        kill_stale_forkers(unit_manager.state_dir)
        unit_manager.loop.add_signal_handler(signal.SIGCHLD, self._on_child_change)

    @property
    def event_log(self) -> EventLog:
        """The event log of the fleet."""
        return self._unit_manager.event_log

    @property
    def forker_pid(self) -> int | None:
        """The pid of the bare forker, None while there is none."""
        return None if self._forker is None else self._forker.pid

    @property
    def zygote_pids(self) -> set[int]:
        """The pids of the zygotes."""
        return {client.pid for client in self._zygote_pool.clients()}

    @property
    def exec_reasons(self) -> dict[str, str]:
        """Agent to the reason why no zygote forks it."""
        return self._zygote_pool.exec_reasons

    @property
    def enforced_limits(self) -> frozenset[str]:
        """The limits that control groups enforce here: `memory`, `cpu`."""
        return frozenset() if self._control_groups is None else self._control_groups.enforced_limits

    def set_plan(self, plan: ProcessPlan) -> None:
        """Start the zygotes that this plan needs, and end the others."""
        self._zygote_pool.prepare(plan, self._unit_manager.environ)

    # ---- requests

    def spawn(self, process: SpawnedProcess, output: int) -> None:
        """Have a process forked; takes over the descriptor `output`."""
        self.event_log.append("spawn-requested", agent=process.name)
        self._pending_spawns[process.incarnation] = process
        self._loop.call_later(_SPAWN_TIMEOUT_S, self._check_spawned, process.incarnation)
        try:
            spawn_request = self._spawn_request_for(process)
        except OSError as error:
            os.close(output)
            message = f"its control group `{error.filename}`: {error.strerror}"
            self._loop.call_soon(self.on_spawn_failed, SpawnFailed(process.incarnation, message))
            return
        if not self._zygote_pool.submit(spawn_request, output, self._are_many_starting):
            self._send_to_forker(spawn_request, output)  # without a forker: repeated when there is one

    def _are_many_starting(self) -> bool:
        """Return whether more than one agent is about to start."""
        not_started = (
            unit for unit in self._unit_manager.units.values() if unit.desired_up and unit.pid is None
        )
        return len(list(itertools.islice(not_started, 2))) == 2

    def spawn_by_exec(self, spawn_request: SpawnRequest) -> None:
        """Have the forker start what no zygote has forked."""
        if spawn_request.incarnation in self._pending_spawns:
            try:
                self._send_to_forker(
                    spawn_request, open_log(self._unit_manager.state_dir.log_file(spawn_request.name))
                )
            except OSError as error:
                self.on_spawn_failed(SpawnFailed(spawn_request.incarnation, error.strerror or str(error)))

    def _send_to_forker(self, spawn_request: SpawnRequest, output: int) -> bool:
        """Send a request to the forker; takes over `output`. Returns False when there is no forker."""
        self.ensure_forker()
        if self._forker is None:
            os.close(output)
            return False
        self._forker.send(spawn_request, output)
        return True

    def _spawn_request_for(self, process: SpawnedProcess) -> SpawnRequest:
        manager, name, spec, group = self._unit_manager, process.name, process.spec, ""
        if self._control_groups is not None:
            group = str(self._control_groups.create(name, spec.memory_bytes, spec.cpus))
        return SpawnRequest(
            name=name,
            incarnation=process.incarnation,
            generation=manager.generation,
            lease=str(manager.state_dir.lease_file(name)),
            generation_file=str(manager.state_dir.supervisor_lock),
            argv=list(spec.argv),
            env=self._inherited_environment() | spec.env,
            cwd=spec.cwd,
            open_files=spec.open_files or manager.open_files,
            memory_limit_bytes=0 if MEMORY in self.enforced_limits else spec.memory_bytes or 0,
            control_group=group,
        )

    def _inherited_environment(self) -> dict[str, str]:
        """Return what every agent inherits of the current environment; computed once."""
        if self._base_environment[0] is not self._unit_manager.environ:
            self._base_environment = (
                self._unit_manager.environ,
                inherited_environment(self._unit_manager.environ),
            )
        return self._base_environment[1]

    async def run_helper(self, spec: ProcessSpec, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in the directory and environment of an agent, without the means to report for it."""
        env = helper_environment(self._unit_manager.environ, spec)
        return await self._helpers.run(command, env, spec.cwd, timeout_s)

    async def run_engine_helper(self, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command for the engine itself."""
        return await self._helpers.run(command, self._unit_manager.environ, "/", timeout_s)

    # ---- forks

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """A child was forked."""
        if self._helpers.handle_spawned(spawned, pidfd):
            return
        process = self._pending_spawns.pop(spawned.incarnation, None)
        if process is None:
            # Too late: the request was repeated, or the agent is no longer wanted.
            os_process.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            return
        process.on_spawned(spawned, pidfd)

    def on_spawn_failed(self, failure: SpawnFailed) -> None:
        """A child could not be forked."""
        process = self._pending_spawns.pop(failure.incarnation, None)
        if process is not None:
            process.on_spawn_failed(f"not started, no process could be forked: {failure.reason}")
        self._helpers.handle_spawn_failed(failure.incarnation, failure.reason)

    def _check_spawned(self, incarnation: int) -> None:
        """Repeat a request without an answer; the lease prevents a second process from running."""
        if incarnation in self._pending_spawns:
            self.event_log.append("spawn-timeout", agent=self._pending_spawns[incarnation].name)
            self.respawn(incarnation)

    def respawn(self, incarnation: int) -> None:
        """Repeat a request that will not be carried out."""
        process = self._pending_spawns.pop(incarnation, None)
        if process is not None:
            process.on_spawn_failed("")

    def on_zygote_event(self, event: ZygoteReady | SpawnDeclined) -> None:
        """Reject an event that only a zygote sends."""
        raise AssertionError(f"the forker is not a zygote: {event}")

    # ---- exits

    def was_oom_killed(self, name: str) -> bool:
        """Return whether the kernel killed the unit of this name because it exceeded its `memory`."""
        return self._control_groups is not None and self._control_groups.was_oom_killed(name)

    def remove_control_group(self, name: str) -> None:
        """Remove the control group of this unit; none of its processes is left."""
        if self._control_groups is not None:
            self._control_groups.remove(name)

    def on_exit(self, exited: Exited) -> None:
        """A child has exited. Reported twice if its forker died between reporting and reaping."""
        if self._helpers.handle_exit(exited):
            return
        for process in self._unit_manager.processes():
            if process.pid == exited.pid:
                process.on_exit(exited.status)
                return

    def drain_events(self) -> None:
        """Read all reports of the forker and the zygotes; a pid unknown afterwards is not the engine's."""
        for client in self._clients():
            client.drain()

    def forker_pids(self) -> set[int]:
        """Return the pids of the forker and the zygotes."""
        return {client.pid for client in self._clients()}

    def _clients(self) -> Iterator[ForkerClient]:
        if self._forker is not None:
            yield self._forker
        yield from self._zygote_pool.clients()

    def _on_child_change(self) -> None:
        """Check the forkers and reap this process's children."""
        for client in self._clients():
            client.check_process()
        self._reap()

    def _reap(self) -> None:
        """Reap processes reparented to this one; a forker is reaped by its client."""
        self.drain_events()
        while (found := os_process.next_zombie()) is not None:
            pid, status = found
            forker = next((client for client in self._clients() if client.pid == pid), None)
            if forker is not None:
                forker.check_process()
                continue
            os_process.kill_group_of_zombie(pid)
            os.waitpid(pid, 0)
            self.on_exit(Exited(pid, status))

    # ---- the forkers themselves

    def ensure_forker(self) -> None:
        """Start the forker if it is not running yet; none is needed if zygotes fork all agents."""
        if self._forker is None and not self._is_forker_delayed and not self._is_closing:
            self._start_forker()

    def _start_forker(self) -> None:
        """Start a forker; if that fails, try again after a delay."""
        self._forker_since = self._loop.time()
        try:
            self._forker = ForkerClient(self._loop, self, env=inherited_environment(os.environ))
        except OSError as error:
            self.event_log.append("forker-failed", text=str(error))
            self._delay_forker(_FORKER_RESTART_DELAY_S)
            return
        self.record_forkers()

    def _replace_forker(self) -> None:
        """Start the next forker, and repeat the unanswered requests of the previous one."""
        self._is_forker_delayed = False
        if self._is_closing:
            return
        self._start_forker()
        if self._forker is None:
            return
        for incarnation in list(self._pending_spawns):
            if not self._zygote_pool.has_pending(incarnation):
                self.respawn(incarnation)

    def record_forkers(self) -> None:
        """Record the forkers and zygotes for the next supervisor."""
        record_forkers(self._unit_manager.state_dir, [client.pid for client in self._clients()])

    def on_forker_lost(self, reason: str) -> None:
        """Replace a forker that died. Its children were reparented to this process, a subreaper."""
        if self._is_closing:
            return
        self.event_log.append("forker-lost", text=reason)
        self._forker = None
        self._helpers.on_forker_lost()
        self._reap()
        # A forker that dies at once is not restarted in a tight loop.
        has_lived = self._loop.time() - self._forker_since > _FORKER_RESTART_DELAY_S
        self._delay_forker(0.0 if has_lived else _FORKER_RESTART_DELAY_S)

    def _delay_forker(self, seconds: float) -> None:
        """Start the next forker after `seconds`."""
        self._is_forker_delayed = True
        self._loop.call_later(seconds, self._replace_forker)

    def on_zygote_lost(self) -> None:
        """Collect the exits that a lost zygote has not reported."""
        if not self._is_closing:
            self._reap()

    def close(self) -> None:
        """End the forker and the zygotes; their children keep running."""
        self._is_closing = True
        self._zygote_pool.close()
        if self._forker is not None:
            self._forker.close()
