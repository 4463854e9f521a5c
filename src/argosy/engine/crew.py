"""All units of this machine: who waits for whom, who runs, what an end means to the others.

The crew connects the units; it decides nothing about one unit that the unit can decide alone.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from argosy.engine import lease, process
from argosy.engine.diary import Diary
from argosy.engine.forkerlink import ForkerLink
from argosy.engine.logs import Mark, append_mark, mark_growth
from argosy.engine.logwatch import LogWatch
from argosy.engine.plan import full_environment
from argosy.engine.state import FINAL_STATES, State
from argosy.engine.unit import Needs, Unit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from argosy.engine.folder import Folder
    from argosy.engine.order import Birth, Exit, Order
    from argosy.engine.plan import Plan

_MEMORY_EVERY_S = 1.0
_BIRTH_PATIENCE_S = 5.0


class Crew:
    """The units, the forker that bears them, the records that outlive both.

    on_change(unit): called after every transition. on_quiet(): after every end, conclusion or rise,
    for whoever waits until the fleet has settled.
    """

    def __init__(self, folder: Folder, generation: int, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.generation = generation
        self.loop = loop
        self.boot = process.boot_id()
        self.units: dict[str, Unit] = {}
        self.plan: Plan | None = None
        self.environ: dict[str, str] = dict(os.environ)
        self.on_change: Callable[[Unit], None] = lambda _: None
        self.on_quiet: Callable[[], None] = lambda: None
        self.diary = Diary(folder.diary)
        self._dependents: dict[str, list[str]] = {}
        self._unborn: dict[int, tuple[Unit, Order]] = {}
        self._forker = self._new_forker()
        self._watch = LogWatch(folder.logs, loop, mark_growth)
        self._is_closing = False
        self._memory_turn = 0
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._memory_timer = loop.call_later(_MEMORY_EVERY_S, self._sample_memory)

    # ---- what it holds

    def adopt_plan(self, plan: Plan) -> None:
        """Make `plan` the one in force: new units for new agents; known ones are left to the change."""
        self.plan = plan
        for name, spec in plan.processes.items():
            if name not in self.units:
                self.units[name] = Unit(spec, self)
        self._dependents = {name: [] for name in self.units}
        for name, spec in plan.processes.items():
            for need in spec.need_names():
                self._dependents.setdefault(need, []).append(name)

    def forget(self, name: str) -> None:
        """Drop a unit that is no more part of the fleet and has no process."""
        unit = self.units.pop(name, None)
        if unit is not None:
            unit.close()

    def dependents_of(self, name: str) -> list[Unit]:
        """Return the units that need `name` directly."""
        return [self.units[each] for each in self._dependents.get(name, ()) if each in self.units]

    def running(self) -> list[Unit]:
        """Return the units that have a process or are about to."""
        return [unit for unit in self.units.values() if unit.is_running or unit.identity is not None]

    def adopt_running(self) -> list[str]:
        """Take over what an earlier supervisor started and still runs; return the names.

        A lease that is busy, or whose recorded process lives, belongs to a running agent. Free and
        dead is released by nobody having to do anything.
        """
        adopted = []
        for name, unit in self.units.items():
            record = lease.read_record(self.folder.lease(name))
            if record is None or record.boot != self.boot:
                continue
            pidfd = process.open_process(record.identity)
            if pidfd is None:
                continue
            unit.adopt(record.identity, pidfd, record.incarnation)
            self.diary.note("adopted", agent=name, pid=record.identity.pid)
            adopted.append(name)
        return adopted

    # ---- what units ask (see unit.Crew)

    def needs_of(self, unit: Unit) -> Needs:
        """Return what `unit` still waits for, and what of it will not come."""
        waiting, failed = [], {}
        for name in unit.spec.need_names():
            other = self.units.get(name)
            if other is None:
                failed[name] = "is not run by this machine"
            elif other.state in FINAL_STATES:
                failed[name] = other.reason or other.state.value
            elif not other.is_ready:
                waiting.append(name)
        return Needs(waiting, failed)

    def may_spawn(self, unit: Unit) -> bool:
        """Return whether there is room for one more start (`max_starting`)."""
        most = self.plan.max_starting if self.plan else None
        if most is None:
            return True
        starting = [each for each in self.units.values() if each.state is State.STARTING and each is not unit]
        return sum(1 for each in starting if each.identity or each.incarnation in self._unborn) < most

    def environment_of(self, unit: Unit) -> dict[str, str]:
        """Return the whole environment of a unit's process."""
        return full_environment(self.environ, unit.spec)

    def spawn(self, unit: Unit, order: Order, output: int) -> None:
        """Have the unit's process forked."""
        self._unborn[order.incarnation] = (unit, order)
        self._forker.send(order, output)
        self.loop.call_later(_BIRTH_PATIENCE_S, self._check_birth, order.incarnation)

    def changed(self, unit: Unit) -> None:
        """Tell everyone who listens."""
        self.diary.note("state", agent=unit.name, state=unit.state.value, pid=unit.pid, text=unit.reason)
        self.on_change(unit)
        if unit.state is State.WAITING:
            for other in self.dependents_of(unit.name):
                if other.state is State.BLOCKED and other.wanted:
                    other.needs_changed()

    def is_rising(self, unit: Unit) -> None:
        """A unit is ready: who waited for it may start, who missed it is whole again."""
        for other in self.dependents_of(unit.name):
            if other.state in (State.WAITING, State.BLOCKED) and other.wanted:
                other.needs_changed()
            elif unit.name in other.lost_needs:
                other.lost_needs.discard(unit.name)
                if self._on_death(other, unit.name) == "restart":
                    other.restart()
                else:
                    other.need_back(unit.name)
        self._let_in()
        self.on_quiet()

    def is_falling(self, unit: Unit) -> None:
        """A ready unit is ready no more: its dependents do what their `on_death` says."""
        for other in self.dependents_of(unit.name):
            what = self._on_death(other, unit.name)
            if what == "degrade":
                other.need_lost(unit.name)
            elif what == "restart":
                other.lost_needs.add(unit.name)
            elif what == "stop" and other.is_running:
                other.restart()  # ends now; starts again when what it needs is ready again

    def has_concluded(self, unit: Unit) -> None:
        """A unit will not come by itself any more: who waits for it is blocked."""
        for other in self.dependents_of(unit.name):
            if other.state is State.WAITING:
                other.needs_changed()
        self._let_in()
        self.on_quiet()

    def has_ended(self, unit: Unit) -> None:
        """A unit's process is gone."""
        self._let_in()

    def _let_in(self) -> None:
        """Give the room that has become free to those who wait for it."""
        if self.plan is None or self.plan.max_starting is None:
            return
        for unit in self.units.values():
            if (
                unit.state is State.STARTING
                and unit.identity is None
                and unit.incarnation not in self._unborn
            ):
                unit.spawn_now()

    @staticmethod
    def _on_death(unit: Unit, need: str) -> str:
        return next((each.on_death for each in unit.spec.needs if each.agent == need), "wait")

    # ---- births and ends

    def _new_forker(self) -> ForkerLink:
        return ForkerLink(self.loop, self._on_birth, self._on_exit, self._on_forker_lost)

    def _on_birth(self, birth: Birth, pidfd: int) -> None:
        unit, _ = self._unborn.pop(birth.incarnation, (None, None))
        if unit is None:
            os.close(pidfd)  # nobody waits for it any more; its generation test or the adoption takes care
            return
        append_mark(self.folder.log(unit.name), Mark(time.time(), self._log_size(unit), birth.pid))
        unit.born(birth, pidfd)

    def _log_size(self, unit: Unit) -> int:
        try:
            return self.folder.log(unit.name).stat().st_size
        except FileNotFoundError:
            return 0

    def _on_exit(self, end: Exit) -> None:
        for unit in self.units.values():
            if unit.pid == end.pid:
                unit.ended(end.status)
                return

    def _on_forker_lost(self) -> None:
        """Replace a forker that died. Its children have fallen to this process, a subreaper."""
        if self._is_closing:
            return
        self.diary.note("forker-lost", pid=self._forker.pid)
        self._forker = self._new_forker()
        self._reap()

    def _check_birth(self, incarnation: int) -> None:
        """Order a child again that nobody has reported; its lease keeps a late twin from running."""
        entry = self._unborn.pop(incarnation, None)
        if entry is not None:
            unit, _ = entry
            self.diary.note("no-birth", agent=unit.name)
            unit.spawn_now()

    def _reap(self) -> None:
        """Take the exits of what has fallen to this process; forkers are reaped by their link."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid == self._forker.pid:
                return
            try:
                os.killpg(found.si_pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # it led no group, or nobody is left in it
            _, status = os.waitpid(found.si_pid, 0)
            for unit in self.units.values():
                if unit.pid == found.si_pid:
                    unit.ended(status)
                    break

    def _sample_memory(self) -> None:
        """Read the memory of one agent a second, in turn: reading all at once would cost a start."""
        units = [unit for unit in self.units.values() if unit.identity is not None]
        if units:
            self._memory_turn = (self._memory_turn + 1) % len(units)
            units[self._memory_turn].sample_memory()
        self._memory_timer = self.loop.call_later(_MEMORY_EVERY_S, self._sample_memory)

    def close(self) -> None:
        """Let everything go; the agents run on."""
        self._is_closing = True
        self._memory_timer.cancel()
        self._watch.close()
        self._forker.close()
        for unit in self.units.values():
            unit.close()
        self.diary.close()
