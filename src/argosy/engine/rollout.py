"""What a client asks to change, carried out over the crew: apply a fleet, restart agents, stop them.

Who may change what, and when, is decided before (`supervisor`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine import descriptors
from argosy.engine.account import close_account, describe
from argosy.engine.cell import with_mates
from argosy.engine.cellplan import write_rolls
from argosy.engine.change import OrderedStop, Settling
from argosy.engine.difference import Change, Running, compare, scope_of
from argosy.engine.filemark import mark_of
from argosy.engine.linkplan import plan_links
from argosy.engine.messages import Account, Apply, Restarted, Stopped
from argosy.engine.plan import Plan, plan_fleet
from argosy.engine.roster import Roster, draft_roster, write_book_of
from argosy.fault import Fault, InputError, MissingError, RefusedError
from argosy.fleet.environment import here, place
from argosy.fleet.graph import Graph, build_graph, graph_of
from argosy.fleet.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from argosy.engine.crew import Crew
    from argosy.engine.folder import Folder
    from argosy.engine.links import Links
    from argosy.engine.surroundings import Party
    from argosy.engine.unit import Unit
    from argosy.fleet.placement import Placement
    from argosy.fleet.spec import Fleet

_RESTART_WITHIN_S = 300.0


class Intent(NamedTuple):
    """An apply that has been checked and written down.

    scope: the agents of this machine that it is about; abroad: those of linked ones. began: loop time of
    the request. order: its name among the machines.
    """

    plan: Plan
    scope: list[str]
    abroad: list[str]
    skip: dict[str, str]
    change: Change
    timeout_s: float
    began: float
    order: str


class Rollout:
    """Carries out changes, one at a time but for stops, which end the change that is under way.

    graph: of the fleet in force.
    """

    def __init__(self, crew: Crew, links: Links) -> None:
        self._crew = crew
        self._links = links
        self._folder, self._loop = crew.folder, crew.loop
        self.graph: Graph = graph_of({})
        self._settling: Settling | None = None
        self._unanswered: set[str] = set()
        self._stops: set[OrderedStop] = set()
        self._asked_stops = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def look(self, unit: Party) -> None:
        """Go on with what waits for this agent; called in the middle of each transition."""
        if self._settling is not None:
            self._settling.look(unit)
        for stop in list(self._stops):
            self._loop.call_soon(stop.look, unit)  # after its own transition

    def answered(self, machine: str) -> None:
        """Another machine has closed its account of the change under way, or cannot be asked."""
        self._unanswered.discard(machine)
        if self._settling is not None:
            self._settling.answered(machine)

    def wake(self) -> None:
        """A client has gone: nobody may wait for the change under way any more."""
        if self._settling is not None:
            self._settling.wake()

    # ---- up

    async def prepare(self, request: Apply, pid: int) -> Intent:
        """Find what is to be done for the client `pid`, and write down what is about to be in force.

        A thousand agents take a while, in which others are answered.

        Raises ArgosyError: the fleet cannot be placed or planned here, the plan cannot be written, or a stop
        was asked for meanwhile; nothing has been changed then.
        """
        began, stops = self._loop.time(), self._asked_stops
        fleet = request.fleet
        variables = {name: os.fsdecode(value) for name, value in request.environ.items()}
        placement = place(fleet, request.environment, variables)
        machines = here(placement, request.machine, variables)
        await asyncio.sleep(0)
        plan = plan_fleet(fleet, placement, machines, self._folder)
        await asyncio.sleep(0)
        if self._asked_stops != stops:
            raise RefusedError(Fault("", "stopped", "`argosy down` came before anything was started"))
        links = plan_links(fleet, placement, machines)
        elsewhere = links.agents if links else {}
        everywhere = scope_of(plan, request.only, request.skip, elsewhere)
        scope = [name for name in everywhere if name in plan.processes]
        self._raise_if_too_few(fleet, scope)
        self._links.configure(links)
        running = {
            unit.name: Running(unit.running_digest, unit.spec.cell)
            for unit in self._crew.running()
            if not (unit.is_remnant and unit.name in plan.processes)
        }
        change = compare(running, plan, scope)
        self._write_down(request, placement, plan, sorted(name or "" for name in machines), change)
        self.graph = build_graph(fleet)
        self._crew.environ = variables
        self._crew.diary.note("apply", text=f"{len(scope)} of {len(plan.declared)} agents, pid {pid}")
        abroad = [name for name in everywhere if name in elsewhere]
        return Intent(plan, scope, abroad, request.skip, change, request.timeout_s, began, request.order)

    async def carry_out(
        self, intent: Intent, machines: Iterable[str], is_unattended: Callable[[], bool]
    ) -> Account:
        """Make the fleet so, and return how it came out once it has settled or its time is over.

        machines: others that were asked for their part; it has settled when they have `answered` too.
        is_unattended(): nobody waits for the outcome: then it ends once all is begun. Asked again at `wake`.
        """
        self._unanswered = set(machines)
        with self._under_way():
            in_time = await self._make_so(intent, is_unattended)
        account = close_account(
            intent.plan,
            self.graph,
            self._crew.units,
            self._crew.distants,
            {*intent.scope, *intent.abroad},
            intent.skip,
            intent.change.adopted,
            intent.began,
            self._loop.time(),
            interrupted=in_time is None,
        )
        if account.interrupted:
            told = dict.fromkeys(account.not_ready, "stopped by `argosy down`")
            account = msgspec.structs.replace(account, not_ready=told, blocked_by={})
        self._note_account(account)
        return account

    def _raise_if_too_few(self, fleet: Fleet, scope: Iterable[str]) -> None:
        """Raise MissingError when this process may not have as many descriptors as all of that needs."""
        wanted = set(scope)
        others = sum(unit.name not in wanted for unit in self._crew.running())
        descriptors.widen()
        if fault := descriptors.too_few([fleet.agents[name] for name in wanted], others):
            raise MissingError(fault)

    def _write_down(
        self, request: Apply, placement: Placement, plan: Plan, machines: list[str], change: Change
    ) -> None:
        """Leave to the next supervisor, and to the agents, what is about to be.

        Raises RefusedError: it is not what is there, and the disk is full. Nothing has been changed then.
        """
        leaving = {name: self._crew.units[name].spec for name in change.stop}
        hulls = {name: cell.hull.spec for name, cell in self._crew.cells.items()} | plan.hulls
        try:
            self._crew.mend_folder()
            write_rolls(self._folder, plan)
            roster = Roster(
                plan=plan,
                machines=machines,
                leaving=leaving,
                hulls=hulls,
                links=self._links.plan,
                mark=mark_of(plan.path, request.file_digest),
            )
            draft = draft_roster(self._folder, roster)
            write_book_of(self._folder, request.fleet, placement, machines)
            if draft is not None:
                os.replace(draft, self._folder.applied)
            self._crew.papers.keep(self._folder.applied, self._folder.book)
        except OSError as error:
            raise _cannot_write(self._folder, error) from error

    async def _make_so(self, intent: Intent, is_unattended: Callable[[], bool]) -> bool | None:
        """Return whether all settled in time, None when somebody interrupted."""
        units, plan, change = self._crew.units, intent.plan, intent.change
        self._crew.adopt_plan(plan)
        parties: list[Party] = [units[name] for name in intent.scope]
        if self._unanswered:
            parties += [self._crew.distants[name] for name in intent.abroad]
        settling = self._settling = Settling(parties, self._unanswered, is_unattended)
        try:
            await asyncio.sleep(0)
            await self._stop_units([units[name] for name in (*change.stop, *change.move)])
            for name in [name for name in units if name not in plan.processes]:
                self._crew.forget(name)
            for name in change.move:
                settling.exchange(self._crew.exchange(name))
            if not settling.is_interrupted:
                self._begin(change, plan, intent.order)
            in_time = await settling.wait(intent.timeout_s)
        finally:
            self._settling = None
        if settling.is_interrupted:
            return None
        if not in_time:
            late = [units[party.name] for party in settling.unsettled() if party.name in units]
            await self._end_the_late(late, intent.timeout_s)
        return in_time

    def _begin(self, change: Change, plan: Plan, order: str) -> None:
        for name in {*change.restart, *change.start, *change.adopted, *change.move}:
            self._crew.units[name].order = order
        for name in change.restart:
            self._crew.units[name].restart(plan.processes[name])
        begun = {*change.start, *change.adopted, *change.move}
        for name in begun:
            self._crew.units[name].renew(plan.processes[name])
        # Needs first: an agent that looks at them must not meet one that was not told to start yet.
        for name in self.graph.start_order():
            if name in begun:
                self._crew.units[name].start()

    async def _end_the_late(self, units: list[Unit], timeout_s: float) -> None:
        """Stop what is not ready when the time of the whole apply is over."""
        reasons = {
            unit.name: f"was {describe(unit)} when the {timeout_s:.0f} s of this start were over"
            + (
                f"; restarted {counted(unit.restarts, 'time')}, the last: {unit.last_end}"
                if unit.last_end
                else ""
            )
            for unit in units
        }
        await self._stop_units(units)
        for unit in units:
            unit.reason = reasons[unit.name]

    def _note_account(self, account: Account) -> None:
        text = f"{len(account.ready)} ready, {len(account.not_ready)} not, {len(account.left_out)} left out"
        self._crew.diary.note("account", text=f"{text}, {account.seconds:.2f} s")

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        """Have stops wait meanwhile."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    # ---- restart, stop

    async def restart(self, names: Iterable[str], is_unattended: Callable[[], bool]) -> Restarted:
        """Restart agents and what follows them by their `on_death`; return once all have settled.

        is_unattended(): as of `carry_out`.
        Raises InputError: there is no such agent here.
        """
        began = self._loop.time()
        named = self._known(names)
        units = with_mates(named, self._crew.cells)
        mates = [unit for unit in units if unit not in named]
        touched = self._followers(units)
        settling = self._settling = Settling(touched, is_unattended=is_unattended)
        listed = ", ".join(unit.name for unit in named)
        self._crew.diary.note("restart", text=listed)
        with self._under_way():
            for unit in named:
                unit.restart()
            try:
                await settling.wait(_RESTART_WITHIN_S)
            finally:
                self._settling = None
                self._crew.diary.note("restarted", text=listed)
        needing = {other.name for unit in touched for other in self._crew.dependents_of(unit.name)}
        return Restarted(
            restarted=sorted(unit.name for unit in touched if unit.is_ready),
            not_ready={unit.name: describe(unit) for unit in touched if not unit.is_ready},
            reconnected=sorted(needing - {unit.name for unit in touched}),
            mates=_by_cell(mates),
            seconds=self._loop.time() - began,
        )

    def _followers(self, units: Iterable[Unit]) -> set[Unit]:
        """Return these and all that restart with them, by their `on_death`."""
        found: set[Unit] = set()
        stack = list(units)
        while stack:
            unit = stack.pop()
            if unit not in found:
                found.add(unit)
                dependents = self._crew.dependents_of(unit.name)
                following = [other for other in dependents if other.wanted and _follows(other, unit.name)]
                stack += with_mates(following, self._crew.cells)
        return found

    async def stop(
        self, names: Iterable[str] | None, *, is_kill: bool, beside: Iterable[str] = ()
    ) -> Stopped:
        """End the change that is under way, then stop these agents, None for all, each before what it needs.

        beside: agents that are stopped on other machines meanwhile.
        Raises InputError: there is no such agent here.
        """
        began = self._loop.time()
        self._asked_stops += 1
        every = list(self._crew.units.values())
        units = every if names is None else with_mates(self._known(names), self._crew.cells)
        ran = [unit for unit in units if unit.has_process]
        for unit in ran if is_kill else ():
            unit.kill()
        if self._settling is not None:
            self._settling.interrupt()
        await self._idle.wait()
        left = await self._stop_units([unit for unit in units if unit.name in self._crew.units], beside)
        return Stopped(
            stopped=[unit.name for unit in ran if unit not in left],
            killed=[unit.name for unit in ran if unit.was_killed and unit not in left],
            seconds=self._loop.time() - began,
            left={unit.name: f"{unit.reason}; a kill has not ended it (pid {unit.pid})" for unit in left},
        )

    async def _stop_units(self, units: Iterable[Unit], beside: Iterable[str] = ()) -> list[Unit]:
        """Stop these; return those that nothing ends."""
        stop = OrderedStop(units, self._crew, beside)
        self._stops.add(stop)
        try:
            await stop.run()
            return stop.left()
        finally:
            self._stops.discard(stop)

    def _known(self, names: Iterable[str]) -> list[Unit]:
        """Return the units of these names.

        Raises InputError: there is no such agent here.
        """
        names = list(names)
        unknown = [name for name in names if name not in self._crew.units]
        if unknown:
            raise InputError(
                *(
                    Fault(name, "unknown-agent", f"no agent `{name}` runs here", "`argosy status` lists them")
                    for name in unknown
                )
            )
        return [self._crew.units[name] for name in names]


def _by_cell(units: Iterable[Unit]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for unit in units:
        found.setdefault(unit.spec.cell or "", []).append(unit.name)
    return found


def _follows(unit: Unit, need: str) -> bool:
    return any(each.agent == need and each.on_death in ("restart", "stop") for each in unit.spec.needs)


def _cannot_write(folder: Folder, error: OSError) -> RefusedError:
    words = f"the plan of the fleet cannot be written: {error.strerror}; nothing was changed"
    return RefusedError(
        Fault(str(folder.state), "state-folder", words, "free some space, then `argosy up` again")
    )
