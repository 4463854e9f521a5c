"""Where processes are born and their ends are told: the forker, the zygotes, and what falls to this process.

A forker or zygote that dies, is stopped, or no more does what it was asked, is ended and replaced; what
it bore falls to the supervisor, a subreaper, and runs on. What it was to bear is ordered again: the
lease of each agent keeps a late twin from running.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING

from argosy.engine.fork.fork_protocol import Exited, SpawnFailed, SpawnRequest
from argosy.engine.fork.forker_client import ForkerClient
from argosy.engine.fork.stale_forkers import kill_stale_forkers, record_forkers
from argosy.engine.fork.zygote_pool import ZygotePool
from argosy.engine.logs.log_file import open_log
from argosy.engine.process import os_process
from argosy.engine.process.cgroup import MEMORY, ControlGroups, find_delegated
from argosy.engine.process.helper_process import HelperRunner
from argosy.engine.unit.process_plan import helper_environment, inherited_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from argosy.engine.fork.fork_protocol import SpawnDeclined, Spawned, ZygoteReady
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.state.event_log import EventLog
    from argosy.engine.unit.process_plan import ProcessPlan
    from argosy.engine.unit.unit import Unit
    from argosy.engine.unit.unit_manager import UnitManager

_SPAWN_TIMEOUT_S = 5.0
_FORKER_RESTART_DELAY_S = 0.5


class ProcessLauncher:
    """Bears the processes of one crew's units, and of errands."""

    def __init__(self, unit_manager: UnitManager) -> None:
        self._unit_manager = unit_manager
        self._loop = unit_manager.loop
        self._pending_spawns: dict[int, Unit] = {}
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
        """The diary of the crew."""
        return self._unit_manager.event_log

    @property
    def forker_pid(self) -> int | None:
        """The number of the bare forker, None while there is none."""
        return None if self._forker is None else self._forker.pid

    @property
    def zygote_pids(self) -> set[int]:
        """The numbers of the zygotes."""
        return {link.pid for link in self._zygote_pool.clients()}

    @property
    def exec_reasons(self) -> dict[str, str]:
        """Agent to the reason why no zygote bears it."""
        return self._zygote_pool.exec_reasons

    @property
    def enforced_limits(self) -> frozenset[str]:
        """The limits that control groups hold here: `memory`, `cpu`."""
        return frozenset() if self._control_groups is None else self._control_groups.enforced_limits

    def set_plan(self, plan: ProcessPlan) -> None:
        """Have the zygotes that this plan asks for."""
        self._zygote_pool.prepare(plan, self._unit_manager.environ)

    # ---- orders

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the unit's process forked; takes over the descriptor `output`."""
        self.event_log.append("spawn-requested", agent=unit.name)
        self._pending_spawns[unit.incarnation] = unit
        self._loop.call_later(_SPAWN_TIMEOUT_S, self._check_spawned, unit.incarnation)
        try:
            spawn_request = self._spawn_request_for(unit)
        except OSError as error:
            os.close(output)
            message = f"its control group `{error.filename}`: {error.strerror}"
            self._loop.call_soon(self.on_spawn_failed, SpawnFailed(unit.incarnation, message))
            return
        if not self._zygote_pool.submit(spawn_request, output, self._are_many_starting):
            self._send_to_forker(spawn_request, output)  # without a forker: again when there is one

    def _are_many_starting(self) -> bool:
        """Return whether more than one agent is to start now or soon."""
        not_started = (
            unit for unit in self._unit_manager.units.values() if unit.desired_up and unit.pid is None
        )
        return len(list(itertools.islice(not_started, 2))) == 2

    def spawn_by_exec(self, spawn_request: SpawnRequest) -> None:
        """Have the forker spawn what a zygote did not fork."""
        if spawn_request.incarnation in self._pending_spawns:
            try:
                self._send_to_forker(
                    spawn_request, open_log(self._unit_manager.state_dir.log_file(spawn_request.name))
                )
            except OSError as error:
                self.on_spawn_failed(SpawnFailed(spawn_request.incarnation, error.strerror or str(error)))

    def _send_to_forker(self, spawn_request: SpawnRequest, output: int) -> bool:
        """Have the bare forker fork; takes over the descriptor. Returns False when there is none."""
        self.ensure_forker()
        if self._forker is None:
            os.close(output)
            return False
        self._forker.send(spawn_request, output)
        return True

    def _spawn_request_for(self, unit: Unit) -> SpawnRequest:
        crew, spec, group = self._unit_manager, unit.spec, ""
        if self._control_groups is not None:
            group = str(self._control_groups.create(unit.name, spec.memory_bytes, spec.cpus))
        return SpawnRequest(
            name=unit.name,
            incarnation=unit.incarnation,
            generation=crew.generation,
            lease=str(crew.state_dir.lease_file(unit.name)),
            generation_file=str(crew.state_dir.supervisor_lock),
            argv=list(spec.argv),
            env=self._inherited_environment() | spec.env,
            cwd=spec.cwd,
            open_files=spec.open_files or crew.open_files,
            memory_limit_bytes=0 if MEMORY in self.enforced_limits else spec.memory_bytes or 0,
            control_group=group,
        )

    def _inherited_environment(self) -> dict[str, str]:
        """Return what every agent gets of the environment in force; worked out once."""
        if self._base_environment[0] is not self._unit_manager.environ:
            self._base_environment = (
                self._unit_manager.environ,
                inherited_environment(self._unit_manager.environ),
            )
        return self._base_environment[1]

    async def run_helper(self, unit: Unit, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in the unit's folder and environment."""
        env = helper_environment(self._unit_manager.environ, unit.spec)
        return await self._helpers.run(command, env, unit.spec.cwd, timeout_s)

    async def run_engine_helper(self, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command for the engine itself."""
        return await self._helpers.run(command, self._unit_manager.environ, "/", timeout_s)

    # ---- births

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """A child was forked."""
        if self._helpers.handle_spawned(spawned, pidfd):
            return
        unit = self._pending_spawns.pop(spawned.incarnation, None)
        if unit is None:
            # Too late: it was ordered again, or is wanted no more.
            os_process.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            return
        self._unit_manager.mark_log_start(unit.name, unit.log_start, spawned.pid)
        unit.on_spawned(spawned, pidfd)

    def on_spawn_failed(self, failure: SpawnFailed) -> None:
        """A child could not be forked."""
        unit = self._pending_spawns.pop(failure.incarnation, None)
        if unit is not None:
            unit.on_spawn_failed(f"not started, no process could be forked: {failure.reason}")
        self._helpers.handle_spawn_failed(failure.incarnation, failure.reason)

    def _check_spawned(self, incarnation: int) -> None:
        """Order a child again that nobody has reported; its lease keeps a late twin from running."""
        if incarnation in self._pending_spawns:
            self.event_log.append("spawn-timeout", agent=self._pending_spawns[incarnation].name)
            self.respawn(incarnation)

    def respawn(self, incarnation: int) -> None:
        """Order a child anew that will not be borne."""
        unit = self._pending_spawns.pop(incarnation, None)
        if unit is not None:
            unit.on_spawn_failed("")

    def on_zygote_event(self, event: ZygoteReady | SpawnDeclined) -> None:
        """A bare forker says nothing else."""
        raise AssertionError(f"the forker is no zygote: {event}")

    # ---- ends

    def was_oom_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed the unit, because it had more than its `memory`."""
        return self._control_groups is not None and self._control_groups.was_oom_killed(unit.name)

    def remove_control_group(self, unit: Unit) -> None:
        """Nothing is left of the unit's process: remove its group."""
        if self._control_groups is not None:
            self._control_groups.remove(unit.name)

    def on_exit(self, exited: Exited) -> None:
        """A child has ended. Told twice when its forker died between telling and reaping."""
        if self._helpers.handle_exit(exited):
            return
        for unit in self._unit_manager.process_units():
            if unit.pid == exited.pid:
                unit.on_exit(exited.status)
                return

    def drain_events(self) -> None:
        """Take what the forker and the zygotes have told: a pid that is unknown now is not the engine's."""
        for client in self._clients():
            client.drain()

    def forker_pids(self) -> set[int]:
        """Return the numbers of the forker and the zygotes."""
        return {link.pid for link in self._clients()}

    def _clients(self) -> Iterator[ForkerClient]:
        if self._forker is not None:
            yield self._forker
        yield from self._zygote_pool.clients()

    def _on_child_change(self) -> None:
        """Find out what has become of this process's children."""
        for client in self._clients():
            client.check_process()
        self._reap()

    def _reap(self) -> None:
        """Take the exits of what has fallen to this process; a forker is reaped by its link."""
        self.drain_events()
        while (found := os_process.next_zombie()) is not None:
            pid, status = found
            forker = next((link for link in self._clients() if link.pid == pid), None)
            if forker is not None:
                forker.check_process()
                continue
            os_process.kill_group_of_zombie(pid)
            os.waitpid(pid, 0)
            self.on_exit(Exited(pid, status))

    # ---- the forkers themselves

    def ensure_forker(self) -> None:
        """Start the forker if nothing has asked for it yet: where zygotes bear all agents none is needed."""
        if self._forker is None and not self._is_forker_delayed and not self._is_closing:
            self._start_forker()

    def _start_forker(self) -> None:
        """Start a forker; where it cannot be started, again after a pause."""
        self._forker_since = self._loop.time()
        try:
            self._forker = ForkerClient(self._loop, self, env=inherited_environment(os.environ))
        except OSError as error:
            self.event_log.append("forker-failed", text=str(error))
            self._delay_forker(_FORKER_RESTART_DELAY_S)
            return
        self.record_forkers()

    def _replace_forker(self) -> None:
        """Start the next forker, and order again what the one before it has not borne."""
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
        """A forker or zygote was started: the next supervisor has to know of it."""
        record_forkers(self._unit_manager.state_dir, [link.pid for link in self._clients()])

    def on_forker_lost(self, reason: str) -> None:
        """Replace a forker that died. Its children have fallen to this process, a subreaper."""
        if self._is_closing:
            return
        self.event_log.append("forker-lost", text=reason)
        self._forker = None
        self._helpers.on_forker_lost()
        self._reap()
        # One that cannot live is not started in a tight loop.
        has_lived = self._loop.time() - self._forker_since > _FORKER_RESTART_DELAY_S
        self._delay_forker(0.0 if has_lived else _FORKER_RESTART_DELAY_S)

    def _delay_forker(self, seconds: float) -> None:
        """Have no forker for a while, then the next."""
        self._is_forker_delayed = True
        self._loop.call_later(seconds, self._replace_forker)

    def on_zygote_lost(self) -> None:
        """Take the exits of what it bore and had not told."""
        if not self._is_closing:
            self._reap()

    def close(self) -> None:
        """End the forker and the zygotes; what they bore runs on."""
        self._is_closing = True
        self._zygote_pool.close()
        if self._forker is not None:
            self._forker.close()
