"""All units of this machine: who waits for whom, who runs, what an end means to the others.

The crew connects the units; it decides nothing about one unit that the unit can decide alone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import time
from collections import ChainMap
from typing import TYPE_CHECKING

from argosy.engine import lease, process
from argosy.engine.appetite import Appetite
from argosy.engine.cell import Cell
from argosy.engine.diary import Diary
from argosy.engine.errand import Errands
from argosy.engine.forkerlink import ForkerLink
from argosy.engine.gpu import GpuWatch
from argosy.engine.logkeeper import LogKeeper
from argosy.engine.logs import Mark, append_mark, open_log
from argosy.engine.member import Member
from argosy.engine.memory import MemorySampler
from argosy.engine.order import Exit, NoBirth, Order
from argosy.engine.plan import errand_environment, full_environment
from argosy.engine.reign import Reign, Rule
from argosy.engine.remains import agents_in_proc
from argosy.engine.room import Room
from argosy.engine.state import FINAL_STATES, State
from argosy.engine.surroundings import Needs
from argosy.engine.unit import Unit
from argosy.engine.zygotes import Zygotes
from argosy.fault import MissingError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from argosy.engine.errand import Outcome
    from argosy.engine.folder import Folder
    from argosy.engine.order import Birth, Declined, Warm
    from argosy.engine.plan import Plan, ProcessSpec

_BIRTH_PATIENCE_S = 5.0
_FORKER_PAUSE_S = 0.5


class Crew:
    """The units, the forker that bears them, the records that outlive both.

    open_files: the soft limit of descriptors that agents get; the supervisor's own may be higher.
    on_change(unit): called after every transition. on_dethroned(): another supervisor rules the folder.
    """

    def __init__(
        self, folder: Folder, generation: int, loop: asyncio.AbstractEventLoop, open_files: int = 0
    ) -> None:
        self.folder = folder
        self.generation = generation
        self.loop = loop
        self.open_files = open_files
        self.boot = process.boot_id()
        self.units: dict[str, Unit] = {}
        self.cells: dict[str, Cell] = {}
        self._hulls: dict[str, Unit] = {}
        self.plan: Plan | None = None
        self.environ: dict[str, str] = dict(os.environ)
        self.on_change: Callable[[Unit], None] = lambda _: None
        self.on_dethroned: Callable[[], None] = lambda: None
        self._reign = Reign(folder, generation)
        self.diary = Diary(folder.diary)
        self._dependents: dict[str, list[str]] = {}
        self._unborn: dict[int, Unit] = {}
        self._errands = Errands(loop, self._send_bare)
        self._appetite = Appetite(folder.appetite)
        gpu = GpuWatch(loop, self._run_alone, lambda: self._room.look_soon())
        self._room = Room(loop, ChainMap(self.units, self._hulls), self._appetite, gpu, self._has_news)
        self._is_closing = False
        self._logs = LogKeeper(folder.logs, loop)
        self._zygotes = Zygotes(loop, self)
        self._forker: ForkerLink | None = None
        self._forker_since = 0.0
        self._start_forker()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._sampler = MemorySampler(loop, self._hosts, self._has_sampled)

    # ---- what it holds

    def adopt_plan(self, plan: Plan) -> None:
        """Make `plan` the one in force: new units for new agents; known ones are left to the change."""
        self.plan = plan
        self._logs.keep(plan.logs)
        self._zygotes.prepare(plan, self.environ)
        self.add(plan.processes, plan.hulls)
        self._room.adopt_plan(plan)
        self._dependents = {name: [] for name in self.units}
        for name, spec in plan.processes.items():
            for need in spec.need_names():
                self._dependents.setdefault(need, []).append(name)

    def add(self, specs: Mapping[str, ProcessSpec], hulls: Mapping[str, ProcessSpec]) -> None:
        """Make a unit for each of these that has none, or one in another cell that does not run.

        hulls: the processes of the cells by name, those of running cells at least.
        """
        for name, spec in hulls.items():
            if name in self.cells:
                self.cells[name].renew(spec)
            else:
                cell = self.cells[name] = Cell(name, spec, self)
                self._hulls[spec.name] = cell.hull
        for name, spec in specs.items():
            known = self.units.get(name)
            if known is not None and (known.spec.cell == spec.cell or known.has_process):
                continue
            self.forget(name)
            carrier = self.cells[spec.cell] if spec.cell is not None else None
            self.units[name] = Unit(spec, self) if carrier is None else Member(spec, self, carrier)

    def forget(self, name: str) -> None:
        """Drop a unit that is no more part of the fleet and has no process; and a cell with nobody in it."""
        unit = self.units.pop(name, None)
        if unit is not None:
            unit.close()
        for empty in [each for each in self.cells.values() if not each.members and not each.hull.has_process]:
            if self.plan is None or empty.name not in self.plan.hulls:
                del self._hulls[empty.hull.name]
                self.cells.pop(empty.name).close()

    def exchange(self, name: str) -> Unit:
        """Put a unit by the plan in the place of one that has no process any more; return it."""
        assert self.plan is not None, "a plan is in force"
        self.add({name: self.plan.processes[name]}, {})
        return self.units[name]

    def _hosts(self) -> list[Unit]:
        """Return the units with a process of their own, those of cells among them."""
        alone = [unit for unit in self.units.values() if not isinstance(unit, Member)]
        return [*alone, *self._hulls.values()]

    def dependents_of(self, name: str) -> list[Unit]:
        """Return the units that need `name` directly."""
        return [self.units[each] for each in self._dependents.get(name, ()) if each in self.units]

    def running(self) -> list[Unit]:
        """Return the units that have a process or are about to."""
        return [unit for unit in self.units.values() if unit.has_process]

    def adopt_running(self) -> list[str]:
        """Take over what an earlier supervisor started and still runs; return the names."""
        for cell in self.cells.values():
            cell.adopt_running()
        return [name for name, unit in self.units.items() if unit.has_process or self.adopt(unit)]

    def find_lost(self) -> None:
        """Make leases anew for what runs although the state folder was deleted."""
        for name, identity in agents_in_proc(self.folder).items():
            self._record_again(name, identity, secrets.randbits(62))

    def mend_folder(self) -> None:
        """Make the state folder anew when somebody has deleted it under the running fleet.

        Raises OSError, MissingError: it cannot be made.
        """
        match self._reign.look():
            case Rule.LOST:
                self.on_dethroned()
            case Rule.RENEWED:
                self.diary.note("folder-lost")
                self.diary.close()
                self.diary = Diary(self.folder.diary)
                self.diary.note("folder-made")
                self._logs.watch_again()
                for unit in self._hosts():
                    if unit.identity is not None:
                        self._record_again(unit.name, unit.identity, unit.incarnation)

    def _record_again(self, name: str, identity: process.Identity, incarnation: int) -> None:
        descriptor = lease.open_lease(self.folder.lease(name))
        record = lease.Record(self.boot, incarnation, identity, self.generation)
        try:
            lease.write_record(descriptor, record)
        finally:
            os.close(descriptor)

    # ---- what units ask (see Surroundings)

    def adopt(self, unit: Unit) -> bool:
        """Take over the unit's process if the one recorded in its lease lives; return whether it does.

        The record decides, not the lock: an agent may have closed every descriptor it had.
        """
        record = lease.read_record(self.folder.lease(unit.name))
        if record is None or record.boot != self.boot:
            return False
        pidfd = process.open_process(record.identity)
        if pidfd is None:
            return False
        self.diary.note("adopted", agent=unit.name, pid=record.identity.pid)
        unit.adopt(record.identity, pidfd, record.incarnation)
        return True

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

    def ask_room(self, unit: Unit) -> None:
        """Let the unit start in its turn, by what hangs on it, once there is room."""
        with contextlib.suppress(OSError, MissingError):  # the start says why it cannot be
            self.mend_folder()
        self._room.ask(unit)

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the unit's process forked; takes over the descriptor `output`."""
        self.diary.note("order", agent=unit.name)
        self._unborn[unit.incarnation] = unit
        self.loop.call_later(_BIRTH_PATIENCE_S, self._check_birth, unit.incarnation)
        order = self._order_of(unit)
        if not self._zygotes.take(order, output, is_one_of_many=self._starts_many()):
            self._send_bare(order, output)  # without a forker: again when there is one

    def _starts_many(self) -> bool:
        """Return whether more than one agent is to start now or soon."""
        unborn = (unit for unit in self.units.values() if unit.wanted and unit.identity is None)
        return len(list(itertools.islice(unborn, 2))) == 2

    def spawn_bare(self, order: Order) -> None:
        """Have the forker spawn what a zygote did not fork."""
        if order.incarnation in self._unborn:
            try:
                self._send_bare(order, open_log(self.folder.log(order.name)))
            except OSError as error:
                self.on_no_birth(NoBirth(order.incarnation, error.strerror or str(error)))

    def _send_bare(self, order: Order, output: int) -> bool:
        """Have the bare forker fork; takes over the descriptor. Returns False when there is none."""
        if self._forker is None:
            os.close(output)
            return False
        self._forker.send(order, output)
        return True

    async def run_beside(self, unit: Unit, command: Sequence[str], within_s: float) -> Outcome:
        """Run a command in the unit's folder and environment."""
        env = errand_environment(self.environ, unit.spec)
        return await self._errands.run(command, env, unit.spec.cwd, within_s)

    def _order_of(self, unit: Unit) -> Order:
        return Order(
            name=unit.name,
            incarnation=unit.incarnation,
            generation=self.generation,
            lease=str(self.folder.lease(unit.name)),
            generation_file=str(self.folder.lock),
            argv=list(unit.spec.argv),
            env=full_environment(self.environ, unit.spec),
            cwd=unit.spec.cwd,
            open_files=unit.spec.open_files or self.open_files,
            memory=unit.spec.memory_bytes or 0,
        )

    async def _run_alone(self, command: Sequence[str], within_s: float) -> Outcome:
        """Run a command for the engine itself."""
        return await self._errands.run(command, self.environ, "/", within_s)

    def hear_forker(self) -> None:
        """Take what the forker has told: a pid that is unknown now is not the engine's."""
        if self._forker is not None:
            self._forker.drain()
        self._zygotes.drain()

    def changed(self, unit: Unit) -> None:
        """Tell everyone who listens."""
        self.diary.note(
            "state",
            agent=unit.name,
            state=unit.state.value,
            pid=unit.pid,
            text=unit.reason,
            lines=unit.last_lines,
        )
        self.on_change(unit)
        if unit.state is State.WAITING:
            for other in self.dependents_of(unit.name):
                if other.state is State.BLOCKED and other.wanted:
                    self.loop.call_soon(other.needs_changed)

    def _has_news(self, unit: Unit) -> None:
        """Tell why a start waits; of a cell's process nobody has heard."""
        if unit.name not in self._hulls:
            self.changed(unit)

    def is_rising(self, unit: Unit) -> None:
        """A unit is ready: who waited for it may start, who missed it is whole again."""
        for other in self.dependents_of(unit.name):
            if other.state in (State.WAITING, State.BLOCKED) and other.wanted:
                other.needs_changed()
            elif unit.name in other.lost_needs:
                is_renewed = self._on_death(other, unit.name) == "restart" and other.wanted
                other.need_back(unit.name, is_renewed=is_renewed)
        self._room.look_soon()

    def is_falling(self, unit: Unit) -> None:
        """A ready unit is ready no more: its running dependents do what their `on_death` says."""
        for other in self.dependents_of(unit.name):
            what = self._on_death(other, unit.name)
            if what == "wait" or not other.wanted or not other.has_process:
                continue
            if what == "stop":
                other.restart()  # ends now; starts again when what it needs is ready again
            else:
                other.need_lost(unit.name)

    def has_concluded(self, unit: Unit) -> None:
        """A unit will not come by itself any more: who waits for it is blocked."""
        for other in self.dependents_of(unit.name):
            if other.state is State.WAITING:
                # Not at once: a chain of hundreds would be as many calls deep.
                self.loop.call_soon(other.needs_changed)
        self._room.look_soon()

    def has_ended(self, unit: Unit) -> None:
        """A unit's process is gone."""
        self._room.look_soon()

    @staticmethod
    def _on_death(unit: Unit, need: str) -> str:
        return next((each.on_death for each in unit.spec.needs if each.agent == need), "wait")

    # ---- births and ends

    def _start_forker(self) -> None:
        """Start a forker, and order again what the one before it has not borne."""
        if self._is_closing:
            return
        self._forker_since = self.loop.time()
        try:
            self._forker = ForkerLink(self.loop, self)
        except OSError as error:
            self.diary.note("no-forker", text=str(error))
            self.loop.call_later(_FORKER_PAUSE_S, self._start_forker)
            return
        for incarnation in list(self._unborn):
            if not self._zygotes.holds(incarnation):
                self.order_again(incarnation)

    def on_birth(self, birth: Birth, pidfd: int) -> None:
        """A child was forked."""
        if self._errands.take_birth(birth, pidfd):
            return
        unit = self._unborn.pop(birth.incarnation, None)
        if unit is None:
            # Too late: it was ordered again, or is wanted no more.
            process.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            return
        append_mark(self.folder.log(unit.name), Mark(time.time(), unit.log_start, birth.pid))
        unit.born(birth, pidfd)

    def on_no_birth(self, failure: NoBirth) -> None:
        """A child could not be forked."""
        unit = self._unborn.pop(failure.incarnation, None)
        if unit is not None:
            unit.not_born(f"not started, no process could be forked: {failure.reason}")
        self._errands.take_no_birth(failure.incarnation, failure.reason)

    def on_exit(self, end: Exit) -> None:
        """A child has ended. Told twice when its forker died between telling and reaping."""
        if self._errands.take_exit(end):
            return
        for unit in self._hosts():
            if unit.pid == end.pid:
                unit.ended(end.status)
                return

    def on_forker_lost(self) -> None:
        """Replace a forker that died. Its children have fallen to this process, a subreaper."""
        if self._is_closing:
            return
        self.diary.note("forker-lost")
        self._forker = None
        self._errands.forker_lost()
        self._reap()
        # One that cannot live is not started in a tight loop.
        has_lived = self.loop.time() - self._forker_since > _FORKER_PAUSE_S
        self.loop.call_later(0.0 if has_lived else _FORKER_PAUSE_S, self._start_forker)

    def _check_birth(self, incarnation: int) -> None:
        """Order a child again that nobody has reported; its lease keeps a late twin from running."""
        if incarnation in self._unborn:
            self.diary.note("no-birth", agent=self._unborn[incarnation].name)
            self.order_again(incarnation)

    def order_again(self, incarnation: int) -> None:
        """Order a child anew that will not be borne."""
        unit = self._unborn.pop(incarnation, None)
        if unit is not None:
            unit.not_born("")

    def on_word(self, word: Warm | Declined) -> None:
        """A bare forker says nothing else."""
        raise AssertionError(f"the forker is no zygote: {word}")

    def on_zygote_lost(self) -> None:
        """Take the exits of what it bore and had not told."""
        if not self._is_closing:
            self._reap()

    def _reap(self) -> None:
        """Take the exits of what has fallen to this process; the forker is reaped by its link."""
        self.hear_forker()
        while (found := process.next_zombie()) is not None:
            pid, status = found
            if pid in self._zygotes.pids or (self._forker is not None and pid == self._forker.pid):
                return
            process.kill_group_of_zombie(pid)
            os.waitpid(pid, 0)
            self.on_exit(Exit(pid, status))

    def _has_sampled(self, unit: Unit) -> None:
        if unit.memory is not None and unit.pid is not None:
            self._appetite.note(unit.name, unit.pid, unit.memory.pss_bytes)
        for cell in self.cells.values():
            cell.share_memory()

    def close(self) -> None:
        """Let everything go; the agents run on."""
        self._is_closing = True
        self._sampler.close()
        self._room.close()
        self._logs.close()
        self._zygotes.close()
        if self._forker is not None:
            self._forker.close()
        for unit in self.units.values():
            unit.close()
        for cell in self.cells.values():
            cell.close()
        self._reign.close()
        self.diary.close()
