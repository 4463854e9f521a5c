"""The supervisor: carries out what clients ask of the fleet, one change at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

from argosy.engine.account import close_account, describe
from argosy.engine.cell import with_mates
from argosy.engine.cellplan import write_rolls
from argosy.engine.change import OrderedStop, Settling
from argosy.engine.crew import Crew
from argosy.engine.difference import Change, Running, compare, scope_of
from argosy.engine.holder import Holder
from argosy.engine.messages import (
    PROTOCOL,
    Account,
    Apply,
    Changed,
    Farewell,
    Hello,
    Refused,
    Restart,
    Restarted,
    Shutdown,
    Status,
    Stop,
    Stopped,
    Subscribe,
    Welcome,
)
from argosy.engine.plan import Plan, plan_fleet
from argosy.engine.remains import living_leases
from argosy.engine.report import report_of, waiting_on
from argosy.engine.roster import Roster, draft_roster, lost_specs, read_roster, write_book_of
from argosy.engine.state import FINAL_STATES
from argosy.fault import ArgosyError, Fault, InputError, RefusedError
from argosy.fleet.environment import here, place
from argosy.fleet.graph import Graph, build_graph, graph_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator

    from argosy.engine.control import Session
    from argosy.engine.folder import Folder
    from argosy.engine.messages import Message, Request
    from argosy.engine.unit import Unit
    from argosy.fleet.placement import Placement
    from argosy.fleet.spec import Fleet

# A supervisor that nobody asked anything of ends after this.
_UNUSED_S = 10.0
_RESTART_WITHIN_S = 300.0


class Supervisor:
    """All that a client can ask, over one crew.

    One change at a time: while one is under way, another is refused with the name of who holds it.
    A stop takes precedence: it ends the change first, and nothing may begin until it is over.
    """

    def __init__(
        self, folder: Folder, generation: int, loop: asyncio.AbstractEventLoop, open_files: int = 0
    ) -> None:
        self.started_s = time.time()
        self.ended = asyncio.Event()
        self._folder = folder
        self._loop = loop
        self._crew = Crew(folder, generation, loop, open_files)
        self._crew.on_change = self._on_change
        self._crew.on_dethroned = self.ended.set
        self._crew.diary.note("supervisor", pid=os.getpid(), text=f"generation {generation}")
        self._graph: Graph = graph_of({})
        self._sessions: Collection[Session] = ()
        self._holders: list[Holder] = []
        self._settling: Settling | None = None
        self._stops: set[OrderedStop] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._was_used = False
        loop.call_later(_UNUSED_S, self.end_if_unused)

    def adopt(self, *, is_new: bool) -> None:
        """Take over what runs from an earlier supervisor: by the leases, and by the roster it left.

        is_new: the folder is. It may have been deleted under a running fleet, so /proc is asked too.
        """
        if is_new:
            self._crew.find_lost()
        roster = read_roster(self._folder)
        leaving = roster.leaving if roster is not None else {}
        hulls = roster.hulls if roster is not None else {}
        if roster is not None:
            self._crew.adopt_plan(roster.plan)
            self._crew.add(leaving, hulls)
            self._graph = graph_of({name: spec.need_names() for name, spec in roster.plan.processes.items()})
        known = {hull.name for hull in hulls.values()}
        lost = lost_specs(self._folder, [each for each in living_leases(self._folder) if each not in known])
        self._crew.add(lost.agents, lost.hulls)
        self._was_used = bool(self._crew.adopt_running())
        for name in leaving:
            unit = self._crew.units[name]
            if unit.has_process:
                unit.stop()  # it was being stopped

    def watch_sessions(self, sessions: Collection[Session]) -> None:
        """Send transitions to those of `sessions` that subscribe."""
        self._sessions = sessions

    def end_if_unused(self) -> None:
        """End when nobody has ever asked anything of it and nobody is there: its client was interrupted."""
        if not self._was_used and not self._sessions:
            self.ended.set()

    def say_farewell(self) -> None:
        """Tell every client that this end is meant."""
        for session in self._sessions:
            session.send(Farewell(running=len(self._crew.running())))

    def close(self) -> None:
        """Let go of everything; the agents run on."""
        self._crew.close()

    async def handle(self, session: Session, request: Request) -> None:
        """Answer one request; a fault becomes Refused."""
        try:
            await self._answer(session, request)
        except ArgosyError as error:
            session.send(Refused(faults=list(error.faults), exit_code=error.exit_code))
        except Exception as error:
            session.send(Refused(faults=[Fault("", "internal", f"the supervisor failed: {error!r}")]))
            raise

    async def _answer(self, session: Session, request: Request) -> None:
        match request:
            case Hello():
                session.client = request.client
                session.send(Welcome(protocol=PROTOCOL, pid=os.getpid(), started_s=self.started_s))
            case Apply():
                try:
                    async with self._hold("up", session):
                        await self._apply(session, request)
                finally:
                    self._end_if_idle()  # also after one that was refused
            case Restart():
                async with self._hold("restart", session):
                    session.send(await self._restart(request.names))
            case Stop():
                with self._precede("down", session):
                    session.send(await self._stop(request.names, is_kill=request.is_kill))
                self._end_if_idle()
            case Status():
                session.send(report_of(self._crew, self.started_s))
            case Subscribe():
                session.is_subscribed = True
            case Shutdown():
                self.ended.set()

    @contextlib.asynccontextmanager
    async def _hold(self, what: str, session: Session) -> AsyncIterator[None]:
        """Hold the queue of changes.

        Raises RefusedError: somebody else has it.
        """
        if self._holders:
            raise RefusedError(self._holders[0].fault())
        self._idle.clear()
        try:
            with self._precede(what, session):
                yield
        finally:
            self._idle.set()

    @contextlib.contextmanager
    def _precede(self, what: str, session: Session) -> Iterator[None]:
        """Keep others from beginning a change meanwhile."""
        self._was_used = True
        holder = Holder(what, session.pid, time.time())
        self._holders.append(holder)
        try:
            yield
        finally:
            self._holders.remove(holder)

    # ---- up

    async def _apply(self, session: Session, request: Apply) -> None:
        began = self._loop.time()
        fleet = request.fleet
        variables = {name: os.fsdecode(value) for name, value in request.environ.items()}
        placement = place(fleet, request.environment, variables)
        machines = here(placement, request.machine, variables)
        plan = plan_fleet(fleet, placement, machines, self._folder)
        scope = scope_of(plan, request.only, request.skip)
        running = {u.name: Running(u.running_digest, u.spec.cell) for u in self._crew.running()}
        change = compare(running, plan, scope)
        self._write_down(fleet, placement, plan, sorted(name or "" for name in machines), change)
        self._graph = build_graph(fleet)
        self._crew.environ = variables
        self._crew.diary.note("apply", text=f"{len(scope)} of {len(plan.declared)} agents, pid {session.pid}")
        session.send(change.told(len(plan.declared)))
        was_subscribed, session.is_subscribed = session.is_subscribed, True
        in_time = await self._carry_out(change, plan, scope, request.timeout_s)
        session.is_subscribed = was_subscribed
        account = close_account(
            plan,
            self._graph,
            self._crew.units,
            scope,
            request.skip,
            change.adopted,
            began,
            self._loop.time(),
            interrupted=in_time is None,
        )
        session.send(account)
        self._note_account(account)

    def _write_down(
        self, fleet: Fleet, placement: Placement, plan: Plan, machines: list[str], change: Change
    ) -> None:
        """Leave to the next supervisor, and to the agents, what is about to be.

        Raises RefusedError: the disk is full. Nothing has been changed then.
        """
        leaving = {name: self._crew.units[name].spec for name in change.stop}
        hulls = {name: cell.hull.spec for name, cell in self._crew.cells.items()} | plan.hulls
        try:
            self._crew.mend_folder()
            write_rolls(self._folder, plan)
            roster = Roster(plan=plan, machines=machines, leaving=leaving, hulls=hulls)
            draft = draft_roster(self._folder, roster)
            write_book_of(self._folder, fleet, placement, machines)
            os.replace(draft, self._folder.applied)
        except OSError as error:
            raise _cannot_write(self._folder, error) from error

    async def _carry_out(
        self, change: Change, plan: Plan, scope: Iterable[str], timeout_s: float
    ) -> bool | None:
        """Do it and wait; return whether all settled in time, None when somebody interrupted."""
        units = self._crew.units
        self._crew.adopt_plan(plan)
        settling = self._settling = Settling([units[name] for name in scope])
        try:
            await self._stop_units([units[name] for name in (*change.stop, *change.move)])
            for name in [name for name in units if name not in plan.processes]:
                self._crew.forget(name)
            for name in change.move:
                settling.exchange(self._crew.exchange(name))
            if not settling.is_interrupted:
                self._begin(change, plan)
            in_time = await settling.wait(timeout_s)
        finally:
            self._settling = None
        if settling.is_interrupted:
            return None
        if not in_time:
            await self._end_the_late(settling.unsettled(), timeout_s)
        return in_time

    def _end_if_idle(self) -> None:
        """End when nothing runs and nothing shall: a supervisor of nothing helps nobody."""
        units = self._crew.units.values()
        if not self._holders and all(u.state in FINAL_STATES and u.identity is None for u in units):
            self.ended.set()

    def _begin(self, change: Change, plan: Plan) -> None:
        for name in change.restart:
            self._crew.units[name].restart(plan.processes[name])
        begun = {*change.start, *change.adopted, *change.move}
        for name in begun:
            self._crew.units[name].renew(plan.processes[name])
        # Needs first: an agent that looks at them must not meet one that was not told to start yet.
        for name in self._graph.start_order():
            if name in begun:
                self._crew.units[name].start()

    async def _end_the_late(self, units: list[Unit], timeout_s: float) -> None:
        """Stop what is not ready when the time of the whole apply is over."""
        reasons = {
            unit.name: f"was {describe(unit)} when the {timeout_s:.0f} s of this start were over"
            + (f"; restarted {unit.restarts} times, the last: {unit.last_end}" if unit.last_end else "")
            for unit in units
        }
        await self._stop_units(units)
        for unit in units:
            unit.reason = reasons[unit.name]

    def _note_account(self, account: Account) -> None:
        text = f"{len(account.ready)} ready, {len(account.not_ready)} not, {len(account.left_out)} left out"
        self._crew.diary.note("account", text=f"{text}, {account.seconds:.2f} s")

    # ---- restart, stop

    async def _restart(self, names: Iterable[str]) -> Restarted:
        began = self._loop.time()
        named = self._known(names)
        units = with_mates(named, self._crew.cells)
        mates = [unit for unit in units if unit not in named]
        touched = self._followers(units)
        settling = self._settling = Settling(touched)
        for unit in named:
            unit.restart()
        try:
            await settling.wait(_RESTART_WITHIN_S)
        finally:
            self._settling = None
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

    async def _stop(self, names: Iterable[str] | None, *, is_kill: bool) -> Stopped:
        began = self._loop.time()
        every = list(self._crew.units.values())
        units = every if names is None else with_mates(self._known(names), self._crew.cells)
        ran = [unit for unit in units if unit.has_process]
        for unit in ran if is_kill else ():
            unit.kill()
        if self._settling is not None:
            self._settling.interrupt()
        await self._idle.wait()
        await self._stop_units([unit for unit in units if unit.name in self._crew.units])
        return Stopped(
            stopped=[unit.name for unit in ran],
            killed=[unit.name for unit in ran if unit.was_killed],
            seconds=self._loop.time() - began,
        )

    async def _stop_units(self, units: Iterable[Unit]) -> None:
        stop = OrderedStop(units, self._crew)
        self._stops.add(stop)
        try:
            await stop.run()
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

    # ---- telling

    def _on_change(self, unit: Unit) -> None:
        if self._settling is not None:
            self._settling.look(unit)
        for stop in list(self._stops):
            # The unit is in the middle of its own transition: go on after it.
            self._loop.call_soon(stop.look, unit)
        self._broadcast(
            Changed(
                agent=unit.name,
                state=unit.state,
                at_s=unit.since_s,
                reason=unit.reason,
                pid=unit.pid,
                waiting_on=waiting_on(unit, self._crew),
                last_lines=unit.last_lines,
            )
        )

    def _broadcast(self, message: Message) -> None:
        for session in self._sessions:
            if session.is_subscribed:
                session.send(message)


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
