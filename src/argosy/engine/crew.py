"""All units of this machine: who waits for whom, who runs, what an end means to the others.

The crew connects the units; it decides nothing about one unit that the unit can decide alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import ChainMap
from typing import TYPE_CHECKING, Any

from argosy.engine import lease, process
from argosy.engine.appetite import Appetite
from argosy.engine.beats import SilenceWatch
from argosy.engine.cell import Cell
from argosy.engine.condition import root_of
from argosy.engine.diary import DISTANT, Diary
from argosy.engine.flawsearch import FlawSearch
from argosy.engine.gpu import GpuWatch
from argosy.engine.hearing import Hearing
from argosy.engine.listeners import Listeners
from argosy.engine.logkeeper import LogKeeper
from argosy.engine.logs import Mark
from argosy.engine.member import Member
from argosy.engine.memory import MemorySampler
from argosy.engine.nursery import Nursery
from argosy.engine.pace import Pace
from argosy.engine.papers import Papers
from argosy.engine.reign import Reign, Rule
from argosy.engine.remains import agents_in_proc, remnants
from argosy.engine.room import Room
from argosy.engine.roster import lost_specs
from argosy.engine.state import FINAL_STATES, READY_STATES, State
from argosy.engine.surroundings import Lack, Needs
from argosy.engine.unit import Unit
from argosy.engine.will import Wills
from argosy.fault import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argosy.engine.distant import Distant
    from argosy.engine.errand import Outcome
    from argosy.engine.folder import Folder
    from argosy.engine.plan import Plan, ProcessSpec
    from argosy.engine.surroundings import Party
    from argosy.engine.version import NotedVersion
    from argosy.fault import Fault


class Crew:
    """The units, the nursery that bears their processes, the records that outlive both.

    open_files: the soft limit of descriptors that agents get; the supervisor's own may be higher.
    on_change(unit): called after every transition. on_dethroned(): another supervisor rules the folder.
    on_renewed(): the state folder was deleted, and is made anew.
    """

    def __init__(
        self, folder: Folder, generation: int, loop: asyncio.AbstractEventLoop, open_files: int = 0
    ) -> None:
        self.folder = folder
        self.generation = generation
        self.loop = loop
        self.open_files = open_files
        self.boot = process.boot_id()
        self.listeners = Listeners()
        self.hearing = Hearing(loop)
        self.units: dict[str, Unit] = {}
        self.cells: dict[str, Cell] = {}
        self._hulls: dict[str, Unit] = {}
        self._had_process: set[str] = set()
        self._remnant_gone = asyncio.Event()
        self.plan: Plan | None = None
        self.environ: dict[str, str] = dict(os.environ)
        self.on_change: Callable[[Unit], None] = lambda _: None
        self.on_dethroned: Callable[[], None] = lambda: None
        self.on_renewed: Callable[[], None] = lambda: None
        self._reign = Reign(folder, generation)
        self.papers = Papers()
        self.wills = Wills(folder, self._mend_if_reached)
        self.wills.keep(loop)
        self.diary = Diary(folder.diary, loop.call_soon)
        self._dependents: dict[str, list[str]] = {}
        self.version: NotedVersion | None = None
        self.distants: dict[str, Distant] = {}
        # By name, whoever is here or elsewhere; a unit here has its name to itself.
        self.everyone: Mapping[str, Party] = ChainMap[str, Any](self.units, self.distants)
        self._flaws = FlawSearch(loop, lambda command, within_s: self.nursery.run_alone(command, within_s))
        self._appetite = Appetite(folder.appetite)
        self.nursery = Nursery(self)
        gpu = GpuWatch(loop, self.nursery.run_alone, lambda: self._room.look_soon())
        self._room = Room(loop, (self.units, self._hulls), self._appetite, gpu, self._has_news)
        self._logs = LogKeeper(folder.logs, loop)
        self._sampler = MemorySampler(loop, self.hosts, self._has_sampled)
        self._silence = SilenceWatch(loop, self.units.values)

    # ---- what it holds

    def know_distants(self, distants: dict[str, Distant]) -> None:
        """Look at these, as they are at each time, where an agent of another machine is needed."""
        self.distants = distants
        self.everyone = ChainMap[str, Any](self.units, distants)

    def adopt_plan(self, plan: Plan) -> None:
        """Make `plan` the one in force: new units for new agents; known ones are left to the change."""
        self.plan = plan
        self._logs.keep(plan.logs)
        self.nursery.adopt_plan(plan)
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
            if known is not None:
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

    def hosts(self) -> list[Unit]:
        """Return the units with a process of their own, those of cells among them."""
        alone = [unit for unit in self.units.values() if not isinstance(unit, Member)]
        return [*alone, *self._hulls.values()]

    def dependents_of(self, name: str) -> list[Unit]:
        """Return the units that need `name` directly."""
        return [self.units[each] for each in self._dependents.get(name, ()) if each in self.units]

    def running(self) -> list[Unit]:
        """Return the units that have a process or are about to."""
        return [unit for unit in self.units.values() if unit.has_process]

    async def adopt_running(self) -> list[str]:
        """Take over what an earlier supervisor started and still runs; return the names.

        The loop turns meanwhile: of a thousand each second one may end, or say how it is.
        """
        pace, running = Pace(), []
        for cell in list(self.cells.values()):
            cell.adopt_running()
            await pace.pause()
        for name, unit in list(self.units.items()):
            if unit.has_process or self.adopt(unit):
                running.append(name)
            await pace.pause()
        self._room.adopt_running()
        return running

    def adopt_remains(self, *, is_new: bool) -> None:
        """End what is left of agents that ended while no supervisor was there. is_new: the folder is."""
        hosts = {unit.name: unit for unit in self.hosts()}
        living = {name for name, unit in hosts.items() if unit.pid is not None}
        left = remnants(self.folder, living, is_new=is_new)
        self.add(lost_specs(self.folder, [name for name in left if name not in hosts]).agents, {})
        for name, pids in left.items():
            self._had_process.add(name)
            unit = hosts.get(name) or self.units[name]
            unit.adopt_remains(pids)

    async def remains_gone(self) -> None:
        """Return once nothing is left of those; of a cell's process nobody else waits for that."""
        while any(unit.is_remnant for unit in self.hosts()):
            self._remnant_gone.clear()
            await self._remnant_gone.wait()

    def find_lost(self) -> None:
        """Make leases anew for what runs although the state folder was deleted, and is not adopted."""
        held = {unit.name for unit in self.hosts() if unit.pid is not None}
        for name, identity in agents_in_proc(self.folder).items():
            if name not in held:
                self._record_again(name, identity, lease.new_incarnation())

    def mend_folder(self) -> bool:
        """Make the state folder anew when somebody has deleted it under the running fleet; return whether.

        Raises OSError, MissingError: it cannot be made.
        """
        match self._reign.look():
            case Rule.HELD:
                return False
            case Rule.LOST:
                self.on_dethroned()
                return False
            case Rule.RENEWED:
                self.diary.note("folder-lost")
                self.diary.begin_anew()
                self.diary.note("folder-made")
                self.papers.restore()
                self.wills.restore()
                self.nursery.has_forked()
                self._logs.watch_again()
                for unit in self.hosts():
                    if unit.identity is not None:
                        self._record_again(unit.name, unit.identity, unit.incarnation)
                self.on_renewed()
                return True

    def _mend_if_reached(self) -> None:
        """Mend the folder, unless clients cannot come here any more: then the next supervisor has it."""
        if self.folder.control.exists():
            with contextlib.suppress(OSError, MissingError):  # tried again at the next start
                self.mend_folder()

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
        self._had_process.add(unit.name)
        self.diary.note("adopted", agent=unit.name, pid=record.identity.pid)
        unit.adopt(record.identity, pidfd, record.incarnation)
        with contextlib.suppress(OSError):  # somebody deletes the folder
            begun_s = lease.written_at(self.folder.lease(unit.name))
            seam = Mark(begun_s, unit.log_start, record.identity.pid)
            self._logs.begin_again(self.folder.log(unit.name), seam)
        return True

    def needs_of(self, unit: Unit) -> Needs:
        """Return what `unit` still waits for, and what of it will not come."""
        waiting, failed = [], {}
        for name in unit.spec.need_names():
            other = self.everyone.get(name)
            if other is None:
                failed[name] = Lack(name, "it is not run by this machine")
            elif other.state in FINAL_STATES:
                failed[name] = root_of(other, self.everyone)
            elif not other.is_ready:
                waiting.append(name)
        return Needs(waiting, failed)

    def tree_version(self) -> str:
        """Return the version of the tree as it is noted now, empty where none is."""
        return self.version.now() if self.version is not None else ""

    def ask_room(self, unit: Unit) -> None:
        """Let the unit start in its turn, by what hangs on it, once there is room."""
        with contextlib.suppress(OSError, MissingError):  # the start says why it cannot be
            self.mend_folder()
        self._room.ask(unit)

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the unit's process forked; takes over the descriptor `output`."""
        self._had_process.add(unit.name)
        self.nursery.spawn(unit, output)

    def log_begins(self, name: str, offset: int, pid: int) -> None:
        """Have readers know where in the log of `name` the output of its new process begins."""
        self._logs.begin(self.folder.log(name), Mark(time.time(), offset, pid))

    def had_process(self, name: str) -> bool:
        """Return whether a process of this name was ordered or adopted here before."""
        return name in self._had_process

    async def run_beside(self, unit: Unit, command: Sequence[str], within_s: float) -> Outcome:
        """Run a command in the unit's folder and environment."""
        return await self.nursery.run_beside(unit, command, within_s)

    def forkers(self) -> set[int]:
        """Return the process numbers of the forker and of the zygotes."""
        return self.nursery.forkers()

    def was_out_of_memory(self, unit: Unit) -> bool:
        """Return whether the kernel killed the unit's process for its `memory`."""
        return self.nursery.was_killed(unit)

    def find_flaw(self, unit: Unit, then: Callable[[Fault | None], None]) -> None:
        """Have the unit's sources read, and call `then` with what stops every start of it."""
        if self.plan is None:
            then(None)
        else:
            self._flaws.ask(self.plan.path, unit.spec, then)

    def hear_forker(self) -> None:
        """Take what the forker has told: a pid that is unknown now is not the engine's."""
        self.nursery.hear()

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
            self._revive(unit.name)

    def _revive(self, name: str) -> None:
        """Let those hope again that were blocked by this one."""
        for other in self.dependents_of(name):
            if other.state is State.BLOCKED and other.wanted:
                self.loop.call_soon(other.needs_changed)

    def hear_of(self, distant: Distant, before: State) -> None:
        """An agent of another machine has changed, as far as this one knows."""
        if distant.is_news():
            self.diary.note(
                DISTANT,
                agent=distant.name,
                state=distant.state.value,
                pid=distant.pid,
                text=distant.reason,
                lines=distant.last_lines,
            )
        if distant.is_ready and before not in READY_STATES:
            self.is_rising(distant)
        elif before in READY_STATES and not distant.is_ready:
            self.is_falling(distant)
        if distant.state in FINAL_STATES:
            self.has_concluded(distant)
        elif before in FINAL_STATES:
            self._revive(distant.name)

    def see(self, distants: Iterable[Distant]) -> None:
        """The machine of these has come into sight, or was waited for in vain: judge who needs them."""
        for distant in distants:
            for other in self.dependents_of(distant.name):
                if other.state in (State.WAITING, State.BLOCKED) and other.wanted:
                    self.loop.call_soon(other.needs_changed)

    def distant_dependents_of(self, name: str) -> list[Distant]:
        """Return the agents of other machines that need `name` directly."""
        return [each for each in self.distants.values() if name in each.need_names()]

    def _has_news(self, unit: Unit) -> None:
        """Tell why a start waits; of a cell's process nobody has heard."""
        if unit.name not in self._hulls:
            self.changed(unit)

    def is_rising(self, unit: Party) -> None:
        """An agent is ready: who waited for it may start, who missed it is whole again."""
        for other in self.dependents_of(unit.name):
            if other.state in (State.WAITING, State.BLOCKED) and other.wanted:
                other.needs_changed()
            elif unit.name in other.lost_needs:
                is_renewed = self._on_death(other, unit.name) == "restart" and other.wanted
                other.need_back(unit.name, is_renewed=is_renewed)
        self._room.look_soon()

    def is_falling(self, unit: Party) -> None:
        """A ready agent is ready no more: its running dependents do what their `on_death` says."""
        for other in self.dependents_of(unit.name):
            what = self._on_death(other, unit.name)
            if what == "wait" or not other.wanted or not other.has_process:
                continue
            if what == "stop":
                other.restart()  # ends now; starts again when what it needs is ready again
            else:
                other.need_lost(unit.name)

    def has_concluded(self, unit: Party) -> None:
        """An agent will not come by itself any more: who waits for it is blocked."""
        for other in self.dependents_of(unit.name):
            if other.state is State.WAITING:
                # Not at once: a chain of hundreds would be as many calls deep.
                self.loop.call_soon(other.needs_changed)
        self._room.look_soon()

    def has_ended(self, unit: Unit) -> None:
        """A unit's process is gone."""
        if not isinstance(unit, Member):
            self.nursery.clear(unit)
        self._remnant_gone.set()
        self._room.look_soon()

    @staticmethod
    def _on_death(unit: Unit, need: str) -> str:
        return next((each.on_death for each in unit.spec.needs if each.agent == need), "wait")

    def _has_sampled(self, unit: Unit) -> None:
        if unit.memory is not None and unit.pid is not None:
            self._appetite.note(unit.name, unit.pid, unit.memory.pss_bytes)
        for cell in self.cells.values():
            cell.share_memory()

    def close(self) -> None:
        """Let everything go; the agents run on."""
        self._silence.close()
        self._sampler.close()
        self._flaws.close()
        self._room.close()
        self._logs.close()
        self.nursery.close()
        for unit in self.units.values():
            unit.close()
        for cell in self.cells.values():
            cell.close()
        self.hearing.close()
        self._reign.close()
        self.wills.close()
        self.papers.close()
        self.diary.close()
